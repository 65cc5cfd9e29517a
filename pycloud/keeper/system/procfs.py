"""Processes as shown in /proc, and signals that reach only the intended process.

A pid alone does not identify a process, because pids are reused. A process is identified by pid and start time (field
22 of its ``stat``, in clock ticks since boot); a process found by a scan is signalled through a pidfd after that pair
was checked.

May touch: /proc (reading) and the processes that it is called to signal.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

SESSION_VARIABLE = b"PYCLOUD_SESSION="
_PROC = "/proc"
_KTHREADD = 2


@dataclass(frozen=True, slots=True)
class Process:
    """One process at the moment of reading. ``session`` is its PYCLOUD_SESSION, where that was read and is set."""

    pid: int
    state: str
    parent: int
    group: int
    sid: int
    start_time: int
    session: str | None = None

    @property
    def dead(self) -> bool:
        """Whether it counts as dead: a zombie runs nothing and holds nothing."""
        return self.state in "ZXx"


@cache
def boot_id() -> str:
    """Return the id of this boot of the host: pids and start times are meaningless in another."""
    return Path(_PROC, "sys/kernel/random/boot_id").read_text().strip()


def ticks_now() -> int:
    """Return the current time on the clock of start times, truncated to a tick as the kernel does (nsec_to_clock_t)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _ticks_per_second() // 1_000_000_000


@cache
def _ticks_per_second() -> int:
    return os.sysconf("SC_CLK_TCK")


@cache
def clock_is_real() -> bool:
    """Return whether ``ticks_now`` is the clock of the kernel's start times: this process's clock may be faked."""
    before = ticks_now()
    seconds, _, hundredths = Path(_PROC, "uptime").read_text().split()[0].partition(".")
    uptime = (int(seconds) * 100 + int(hundredths)) * _ticks_per_second() // 100
    return before <= uptime <= ticks_now()


def get_process(pid: int) -> Process | None:
    """Return the process with this pid, None when there is none."""
    data = _read(f"{_PROC}/{pid}/stat")
    return parse_stat(data) if data else None


def parse_stat(data: bytes) -> Process:
    """Parse one line of ``stat``. The command's name, in parentheses, may itself contain spaces and parentheses."""
    head, _, tail = data.rpartition(b")")
    fields = tail.split()
    return Process(
        pid=int(head.partition(b" ")[0]),
        state=fields[0].decode(),
        parent=int(fields[1]),
        group=int(fields[2]),
        sid=int(fields[3]),
        start_time=int(fields[19]),
    )


def is_alive(pid: int, start_time: int) -> bool:
    """Return whether exactly this process is alive."""
    process = get_process(pid)
    return process is not None and process.start_time == start_time and not process.dead


def environ_of(pid: int) -> bytes | None:
    """Return the environment that the process was started with; empty during an exec, None if gone or hidden."""
    return _read(f"{_PROC}/{pid}/environ")


def session_in(environ: bytes | None) -> str | None:
    """Return the value of PYCLOUD_SESSION in an environment as /proc shows it."""
    if not environ or SESSION_VARIABLE not in environ:
        return None
    for item in environ.split(b"\0"):
        if item.startswith(SESSION_VARIABLE):
            return os.fsdecode(item[len(SESSION_VARIABLE) :])
    return None


def scan(known_sids: Collection[int] = (), known_pids: Container[int] = ()) -> list[Process]:
    """Return every living process except this one, kernel threads and those with a pid in ``known_pids``.

    The environment is not read where ``known_sids`` contains the process's sid.
    """
    return list(_scan(known_sids, known_pids))


def _scan(known_sids: Collection[int], known_pids: Container[int]) -> Iterator[Process]:
    for pid in _pids():
        if pid in known_pids:
            continue
        process = get_process(pid)
        if process is None or process.dead or _KTHREADD in (pid, process.parent):
            continue
        if process.sid in known_sids:
            yield process
            continue
        session = session_in(environ_of(pid))
        yield _with_session(process, session) if session else process


def _with_session(p: Process, session: str) -> Process:
    return Process(p.pid, p.state, p.parent, p.group, p.sid, p.start_time, session)


def _pids() -> Iterator[int]:
    me = os.getpid()
    with os.scandir(_PROC) as entries:
        for entry in entries:
            if entry.name.isdigit() and int(entry.name) != me:
                yield int(entry.name)


def orphans() -> list[int]:
    """Return the pids of the processes that were reparented to this one because their parents died, zombies included.

    They become children of the main thread, which starts no process itself (see ``__main__``), so its list contains
    only them. On a kernel built without these lists: all children of this process.
    """
    me = os.getpid()
    data = _read(f"{_PROC}/{me}/task/{me}/children")
    if data is not None:
        return [int(pid) for pid in data.split()]
    return _with_parent(me)


def children_of(pid: int) -> list[int]:
    """Return the pids of another process's children, zombies included: each of its threads has a list of its own."""
    try:
        with os.scandir(f"{_PROC}/{pid}/task") as entries:
            threads = [entry.name for entry in entries]
    except OSError:
        return []
    lists = [_read(f"{_PROC}/{pid}/task/{thread}/children") for thread in threads]
    if threads and all(data is None for data in lists):
        return _with_parent(pid)
    return [int(child) for data in lists if data for child in data.split()]


def read(name: str, pid: int) -> bytes | None:
    """Return the contents of the file ``name`` of a process; None when the process is gone or the file is hidden."""
    return _read(f"{_PROC}/{pid}/{name}")


def _with_parent(pid: int) -> list[int]:
    """Return all children of a process, on a kernel built without lists of children: by a scan of all processes."""
    return [child for child in _pids() if (process := get_process(child)) is not None and process.parent == pid]


def signal_process(process: Process, *signals: signal.Signals) -> None:
    """Signal this process, and no other process that may have got its pid by now."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        now = get_process(process.pid)
        if now is not None and now.start_time == process.start_time:
            for number in signals:
                signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return
    except PermissionError:
        log.warning("may not signal process %d of session %s", process.pid, process.session)
    finally:
        os.close(fd)


def signal_group(leader: int, *signals: signal.Signals) -> None:
    """Signal a group whose leader is a child that is not yet reaped: no other process can have its pid."""
    for number in signals:
        try:
            os.killpg(leader, number)
        except ProcessLookupError:
            return
        except PermissionError:
            log.warning("may not signal all of process group %d", leader)


def group_is_empty(leader: int) -> bool:
    """Return whether no process, zombies included, is in the group."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _read(path: str) -> bytes | None:
    """Return the contents of a file in /proc; None when the process is gone or the file is hidden."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except (ProcessLookupError, PermissionError):
        return None
    finally:
        os.close(fd)
