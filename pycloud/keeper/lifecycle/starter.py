"""Starts one session: port, journal, directory, log, process.

May touch: the data directory of the node, and the directory of port locks.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycloud import fault_points
from pycloud.keeper.lifecycle.process_tree import ProcessTree, SessionLeader
from pycloud.keeper.storage import log_file, workdir
from pycloud.keeper.storage.journal_store import JournalStore
from pycloud.keeper.system import exec_command, ports, procfs
from pycloud.keeper.system.exec_command import StartError, UserIds

#: Resources that a host may run out of and have again a moment later.
_RETRYABLE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The session to start. ``env`` is complete except for PYCLOUD_PORT; ``record`` is stored and returned unread."""

    session: str
    script: str
    env: dict[str, str]
    user: str | None
    hostname: str
    node_id: str
    sessions: int
    port_range: tuple[int, int] | None
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths below the data directory. Those of one session are plain text, because building a Path is slow."""

    data: Path

    @property
    def state(self) -> Path:
        return self.data / "state"

    def work(self, session: str) -> str:
        return f"{self.data}/work/{session}"

    def log(self, session: str) -> str:
        return f"{self.data}/logs/{session}.log"

    def prepare(self) -> None:
        """Create the directories. Only ``work`` may be traversed by sessions of another user. Raises OSError."""
        for name, mode in (("work", 0o711), ("state", 0o700), ("logs", 0o700)):
            directory = self.data / name
            directory.mkdir(exist_ok=True)
            directory.chmod(mode)


class ProcessStarter:
    """Starts sessions. When ``start`` raises StartError, the caller removes what was created until then."""

    def __init__(self, paths: Paths, journal_store: JournalStore, process_tree: ProcessTree, ports_dir: Path) -> None:
        self._paths = paths
        self._journal_store = journal_store
        self._process_tree = process_tree
        self._ports_dir = ports_dir
        self._devnull_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def start(self, request: StartRequest, now: float) -> None:
        """Start a session that is not in the journal store. ``now`` is in monotonic seconds. Raises StartError."""
        work = self._paths.work(request.session)
        argv = exec_command.command_for(request.script, f"{work}/{workdir.SCRIPT}")
        try:
            user_ids = exec_command.user_ids_of(request.user)
            # Before the journal, which contains the port: a crash here leaves only an empty lock file.
            port, lock_fd = ports.choose(self._ports_dir, request.port_range, self._process_tree.ports)
            try:
                self._start(request, work, argv, user_ids, port, lock_fd, now)
            finally:
                os.close(lock_fd)
        except (ports.NoPortError, OSError, ValueError) as error:
            raise StartError(_reason(error), retryable=is_retryable(error)) from error

    def _start(
        self,
        request: StartRequest,
        work: str,
        argv: list[str],
        user_ids: UserIds | None,
        port: int,
        lock_fd: int,
        now: float,
    ) -> None:
        session = request.session
        self._journal_store.create(session, {"starting": time.time(), "port": port, "record": request.record})
        fault_points.fault_point("keeper.after_journal")
        workdir.create(work, request.script, _info(request, port), user_ids)
        fault_points.fault_point("keeper.after_workdir")
        output_fd = log_file.create(self._paths.log(session))
        try:
            before = procfs.ticks_now()
            env = {**request.env, "PYCLOUD_PORT": str(port)}
            pid = spawn(argv, work, env, user_ids, self._devnull_fd, output_fd, lock_fd)
            after = procfs.ticks_now()
        finally:
            os.close(output_fd)
        fault_points.fault_point("keeper.after_spawn")
        start_time = _start_time(pid, before, after)
        self._process_tree.add(session, SessionLeader(pid, start_time, is_child=True, port=port), now)
        self._journal_store.append(session, running_line(pid, start_time, port))
        fault_points.fault_point("keeper.after_running")


def limit_descriptors(nofile: int) -> None:
    """Set this process's soft limit on open files, which sessions inherit; at most the hard limit. Raises OSError."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft = nofile if hard == resource.RLIM_INFINITY else min(nofile, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def running_line(pid: int, start_time: int, port: int | None) -> dict[str, Any]:
    """Return the journal line for a session that is running now."""
    boot = procfs.boot_id()
    return {"running": time.time(), "pid": pid, "start_time": start_time, "boot_id": boot, "port": port}


def spawn(
    argv: list[str],
    directory: str,
    env: dict[str, str],
    user_ids: UserIds | None,
    stdin_fd: int,
    output_fd: int,
    lock_fd: int,
) -> int:
    """Start the process in a session and group of its own; return its pid. Raises StartError, ValueError.

    It reads from ``stdin_fd``, writes to ``output_fd`` and inherits ``lock_fd``: open descriptors of the keeper.
    """
    credentials: dict[str, Any] = {}
    if user_ids is not None:
        credentials = {"user": user_ids.uid, "group": user_ids.gid, "extra_groups": user_ids.groups}
    try:
        process = subprocess.Popen(
            argv,
            cwd=directory,
            env=env,
            stdin=stdin_fd,
            stdout=output_fd,
            stderr=output_fd,
            pass_fds=(lock_fd,),
            start_new_session=True,
            **credentials,
        )
    except OSError as error:
        named = " (named in the script's first line)" if argv[0] != exec_command.SHELL else ""
        reason = f"cannot start {argv[0]}{named}: {error.strerror or error}"
        raise StartError(reason, retryable=is_retryable(error)) from error
    # The reaper waits for all children itself: this object must neither warn nor wait when it is deleted.
    process.returncode = 0
    return process.pid


def _start_time(pid: int, before: int, after: int) -> int:
    """Return the start time of a child that was created from tick ``before`` to tick ``after``. Raises OSError.

    Where these are the same tick, the start time is known without a query: the kernel blocks queries about a process
    during its exec, so the keeper would wait until the program is loaded.
    """
    if before == after and procfs.clock_is_real():
        return before
    process = procfs.get_process(pid)
    if process is None:
        raise OSError(f"process {pid} cannot be seen in /proc")
    return process.start_time


def _info(request: StartRequest, port: int) -> dict[str, Any]:
    return {
        "hostname": request.hostname,
        "port": port,
        "sessions": request.sessions,
        "session": request.session,
        "cloud": request.node_id,
    }


def is_retryable(error: Exception) -> bool:
    """Return whether the same start may succeed soon: the host was temporarily out of a resource."""
    return isinstance(error, ports.NoPortError) or (isinstance(error, OSError) and error.errno in _RETRYABLE_ERRNOS)


def _reason(error: Exception) -> str:
    """Return the reason of a failure for a requester: the system's error text, without the error number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
