"""Script sessions: children of the keeper, which this runtime only sends requests to (see the package ``keeper``)."""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Callable, Iterable, Mapping
from math import inf
from pathlib import Path
from time import time
from typing import Any

from gevent.event import AsyncResult

from pycloud.config import Config
from pycloud.errors import PyCloudError, RemoveFailed, StartFailed
from pycloud.keeper.ipc import client, protocol
from pycloud.keeper.storage import log_file
from pycloud.keeper.system import file_lock
from pycloud.runtimes.base import (
    Exit,
    OutputReader,
    Phase,
    ReadFrom,
    RecoveredSession,
    Runtime,
    SessionSpec,
    Started,
    Usage,
)
from pycloud.runtimes.script.file_watcher import FileWatcher
from pycloud.runtimes.script.keeper_client import KeeperClient, KeeperMessage
from pycloud.runtimes.script.keeper_process import KeeperSettings
from pycloud.runtimes.script.log_reader import ScriptLogReader

ALWAYS_INHERITED = ("PATH", "HOME", "LANG", "TZ", "USER")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def inherited_environment(daemon_env: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the part of the daemon's environment that all sessions inherit.

    These are ALWAYS_INHERITED, ``LC_*`` and ``names``, and always a PATH. Values that are not UTF-8 are left out.
    """
    allowed = {*ALWAYS_INHERITED, *names}
    wanted = {name: value for name, value in daemon_env.items() if name in allowed or name.startswith("LC_")}
    return {"PATH": DEFAULT_PATH, **{name: value for name, value in wanted.items() if _is_text(value)}}


def _is_text(value: str) -> bool:
    """Return whether ``value`` was UTF-8: Python decodes other bytes to lone surrogates, which cannot be encoded."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


#: Reason for an unknown exit code where the keeper has no record of the session.
RECORD_MISSING = "the keeper has no record of it"
#: Fields of the keeper's response to ``inspect`` that are of interest to people.
DETAIL_FIELDS = ("pid", "user", "command", "directory", "keeper", "kept_since", "adopted")
#: Seconds beyond ``stop_grace`` that sessions may take to end and their directories to be deleted.
END_TIMEOUT = 60.0
#: Unit of ``st_blocks``, in bytes.
BLOCK_SIZE = 512

log = logging.getLogger(__name__)


class ScriptRuntime(Runtime):
    """Runs scripts on this host. ``node`` is the node's id, ``nofile`` the soft limit on descriptors of sessions."""

    kind = "script"

    def __init__(self, config: Config, node: str, nofile: int) -> None:
        self._config, self._node = config, node
        self._inherited = inherited_environment(os.environ, config.session_env)
        self.on_recovered: Callable[[list[RecoveredSession]], None] = lambda _found: None
        self._exits: dict[str, AsyncResult] = {}
        self._file_watcher = FileWatcher()
        self._keeper = KeeperClient(KeeperSettings(config.data_dir, config.log_bytes, nofile))
        self._keeper.on_event = self._on_event
        self._keeper.on_reconnected = self._resync

    @classmethod
    def end_all(cls, config: Config) -> int | None:
        """End all script sessions through the keeper; return how many, None without a keeper. Raises PyCloudError."""
        try:
            if not file_lock.is_held(config.data_dir):
                return None
            timeout = config.stop_grace + END_TIMEOUT
            with client.BlockingKeeperClient(config.data_dir / protocol.SOCKET, timeout) as keeper:
                return keeper.stop_all(config.stop_grace)
        except (OSError, protocol.OperationRejected, protocol.LineError) as error:
            raise PyCloudError(f"cannot end the sessions of {config.data_dir}: {error}") from error

    def connect(self) -> None:
        """Connect to the keeper, starting one if necessary. Raises KeeperError."""
        self._keeper.connect()

    def disconnect(self) -> None:
        self._file_watcher.close()
        self._keeper.disconnect()

    def recover(self) -> list[RecoveredSession]:
        found = [_recovered_session(entry) for entry in self._keeper.call(protocol.LIST)["sessions"]]
        for session in found:
            self._exit_future(session.session)
            if session.exit:
                self._set_exit(session.session, session.exit)
        return found

    def start(self, spec: SessionSpec) -> Started:
        fields = self._start_fields(spec)
        self._exit_future(spec.session)
        try:
            response = self._keeper.call(protocol.START, **fields)
        except protocol.OperationRejected as error:
            self._exits.pop(spec.session, None)
            raise StartFailed(error.message, retryable=error.retryable) from error
        return Started(response["port"], response["started"])

    def annotate(self, session: str, annotations: Mapping[str, Any]) -> None:
        try:
            self._keeper.call(protocol.NOTE, session=session, note=annotations)
        except protocol.OperationRejected as error:
            log.debug("the keeper rejected the annotations of session %s: %s", session, error)

    def wait(self, session: str) -> Exit:
        exit_: Exit = self._exit_future(session).get()
        return exit_

    def stop(self, session: str, grace: float, removal: Mapping[str, Any], max_grace: float = inf) -> bool:
        try:
            return bool(self._keeper.call(protocol.STOP, session=session, grace=grace, note=removal)["found"])
        except protocol.OperationRejected as error:
            raise RemoveFailed(error.message) from error

    def forget(self, session: str) -> None:
        self._exits.pop(session, None)
        try:
            self._keeper.call(protocol.FORGET, session=session)
        except protocol.OperationRejected as error:
            log.warning("the record of session %s cannot be deleted: %s", session, error)

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        return log_file.tail(self._log_path(session), count)

    def follow(self, session: str, read_from: ReadFrom, once: bool, on_output: Callable[[], None]) -> OutputReader:
        return ScriptLogReader(self._log_path(session), read_from, once, self._file_watcher, on_output)

    def usage(self, session: str) -> Usage | None:
        """Return the current usage of its processes; None: it does not run, or its keeper is too old to report it."""
        fields = self._inspect(session)
        if "cpu" not in fields:
            return None
        return Usage(fields["at"], fields["cpu"], fields["memory"], fields["processes"])

    def details(self, session: str) -> Mapping[str, Any]:
        """Return the details that the keeper reports, and the size of the log in bytes."""
        fields = self._inspect(session)
        found = {name: fields[name] for name in DETAIL_FIELDS if fields.get(name) is not None}
        try:
            stat = self._log_path(session).stat()
        except OSError:
            return found
        return {**found, "log_bytes": stat.st_size, "log_kept": stat.st_blocks * BLOCK_SIZE}

    def _inspect(self, session: str) -> KeeperMessage:
        try:
            return self._keeper.call(protocol.INSPECT, session=session)
        except protocol.OperationRejected as error:
            log.debug("the keeper rejected the request for session %s: %s", session, error)
            return {}

    def _log_path(self, session: str) -> Path:
        return self._config.data_dir / "logs" / f"{session}.log"

    def _start_fields(self, spec: SessionSpec) -> KeeperMessage:
        return {
            "session": spec.session,
            "script": spec.script,
            "env": self._environment(spec),
            "user": self._config.run_as,
            "hostname": self._config.hostname,
            "cloud": self._node,
            "sessions": spec.session_count,
            "port_range": self._config.port_range,
            "record": spec.record,
        }

    def _environment(self, spec: SessionSpec) -> dict[str, str]:
        """Return the environment without the port. Requested variables override inherited ones, identity all."""
        user = {}
        if self._config.run_as:
            user = {"HOME": _home_dir_of(self._config.run_as), "USER": self._config.run_as}
        identity = {
            "PYCLOUD_SESSION": spec.session,
            "PYCLOUD_CLOUD": self._node,
            "PYCLOUD_HOSTNAME": self._config.hostname,
        }
        return {**self._inherited, **user, **spec.env, **identity}

    def _exit_future(self, session: str) -> AsyncResult:
        return self._exits.setdefault(session, AsyncResult())

    def _set_exit(self, session: str, exit_: Exit) -> None:
        future = self._exits.get(session)
        if future is not None and not future.ready():
            future.set(exit_)

    def _on_event(self, event: KeeperMessage) -> None:
        if event["event"] == protocol.ENDED:
            self._set_exit(event["session"], Exit(event["exit_code"], event["reason"], event["ended"]))

    def _resync(self) -> None:
        """Read all exits after a reconnect: sessions may have ended without an event, or their records may be gone."""
        # Before the request for the list: sessions started meanwhile may be missing from it.
        awaited = list(self._exits)
        entries = {entry["session"]: entry for entry in self._keeper.call(protocol.LIST)["sessions"]}
        for session in awaited:
            exit_ = _exit_of(entries[session]) if session in entries else Exit(None, RECORD_MISSING, time())
            if exit_ is not None:
                self._set_exit(session, exit_)


def _home_dir_of(user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:  # it existed when the daemon started
        raise StartFailed(f"cannot run as {user!r}: this host has no such user") from None


def _recovered_session(entry: KeeperMessage) -> RecoveredSession:
    started = None if entry["started"] is None else Started(entry["port"], entry["started"])
    return RecoveredSession(
        session=entry["session"],
        phase=Phase(entry["state"]),
        record=entry["record"],
        started=started,
        exit=_exit_of(entry),
        removal=entry["removing"],
    )


def _exit_of(entry: KeeperMessage) -> Exit | None:
    if entry["ended"] is None:
        return None
    return Exit(entry["exit_code"], entry["reason"], entry["ended"])
