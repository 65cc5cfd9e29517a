"""Script sessions: children of the keeper, which this runtime only talks to (see the package ``keeper``)."""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from time import time
from typing import Any

from gevent.event import AsyncResult

from pycloud.config import Config
from pycloud.errors import RemoveFailed, StartFailed
from pycloud.keeper.ipc import protocol
from pycloud.keeper.storage import log_file as logs
from pycloud.runtimes.base import Exit, Found, Order, Phase, Reader, Start, Started, Usage
from pycloud.runtimes.script.environment import inherited_environment
from pycloud.runtimes.script.file_watcher import Growth
from pycloud.runtimes.script.keeper_client import KeeperLink, Message, Refusal
from pycloud.runtimes.script.keeper_process import KeeperSettings
from pycloud.runtimes.script.log_reader import LogReader

#: Why nobody knows the exit code of a session that the keeper has no record of.
GONE = "the keeper's record of it is gone"
#: What the keeper tells of a session that is of interest to people.
DETAILS = ("pid", "user", "command", "directory", "keeper", "kept_since", "adopted")
#: What ``st_blocks`` counts, in bytes.
BLOCK = 512

log = logging.getLogger(__name__)


class ScriptRuntime:
    """Runs scripts on this host. ``cloud`` is the cloud's id, ``nofile`` the soft descriptor limit of sessions."""

    kind = "script"

    def __init__(self, config: Config, cloud: str, nofile: int) -> None:
        self._config, self._cloud = config, cloud
        self._inherited = inherited_environment(os.environ, config.session_env)
        self.on_found: Callable[[list[Found]], None] = lambda _found: None
        self._ends: dict[str, AsyncResult] = {}
        self._growth = Growth()
        self._link = KeeperLink(KeeperSettings(config.data_dir, config.log_bytes, nofile))
        self._link.on_event = self._on_event
        self._link.on_new = self._catch_up

    def trouble(self) -> str | None:
        """None: where the keeper is gone, a new one is started."""
        return None

    def host_name(self) -> str | None:
        """None: its sessions run where the daemon does."""
        return None

    def open(self) -> None:
        """Find the keeper or start one. Raises KeeperError."""
        self._link.open()

    def close(self) -> None:
        """Hang up; the keeper and its sessions go on."""
        self._growth.close()
        self._link.close()

    def recover(self) -> list[Found]:
        """Every session that the keeper knows."""
        found = [_found(entry) for entry in self._link.call(protocol.LIST)["sessions"]]
        for session in found:
            self._expect(session.session)
            if session.exit:
                self._settle(session.session, session.exit)
        return found

    def begin(self) -> None:
        """Nothing to do: what is in the data directory is the keeper's, and nobody else's."""

    def start(self, order: Order) -> Started:
        """Start a script. Raises StartFailed with the system's reason."""
        fields = self._start_fields(order)
        self._expect(order.session)
        try:
            reply = self._link.call(protocol.START, **fields)
        except Refusal as refusal:
            self._ends.pop(order.session, None)
            raise StartFailed(refusal.message, passing=refusal.passing) from refusal
        return Started(reply["port"], reply["started"])

    def note(self, session: str, note: Mapping[str, Any]) -> None:
        """Merge ``note`` into the session's record; one that is gone has none."""
        try:
            self._link.call(protocol.NOTE, session=session, note=note)
        except Refusal as refusal:
            log.debug("no note for session %s: %s", session, refusal)

    def wait(self, session: str) -> Exit:
        """How the session ended, once it has."""
        exit_: Exit = self._expect(session).get()
        return exit_

    def stop(self, session: str, grace: float, note: Mapping[str, Any], at_most: float = inf) -> bool:
        """End the session and delete what it left; True when it was there. Raises RemoveFailed."""
        try:
            return bool(self._link.call(protocol.STOP, session=session, grace=grace, note=note)["found"])
        except Refusal as refusal:
            raise RemoveFailed(refusal.message) from refusal

    def forget(self, session: str) -> None:
        """Delete all that is left of it."""
        self._ends.pop(session, None)
        try:
            self._link.call(protocol.FORGET, session=session)
        except Refusal as refusal:
            log.warning("session %s cannot be forgotten: %s", session, refusal)

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        """The newest output, read from the session's log. Raises FileNotFoundError where there is none."""
        return logs.tail(self._log_path(session), count)

    def follow(self, session: str, start: Start, once: bool, more: Callable[[], None]) -> Reader:
        """Its output as its log grows. Raises FileNotFoundError where there is none, BadRequest."""
        return LogReader(self._log_path(session), start, once, self._growth, more)

    def usage(self, session: str) -> Usage | None:
        """What its processes use just now; None: it does not run, or its keeper is too old to tell."""
        known = self._inspect(session)
        if "cpu" not in known:
            return None
        return Usage(known["at"], known["cpu"], known["memory"], known["processes"])

    def details(self, session: str) -> Mapping[str, Any]:
        """What the keeper knows of it, and how large its log is."""
        known = self._inspect(session)
        told = {name: known[name] for name in DETAILS if known.get(name) is not None}
        try:
            log_file = self._log_path(session).stat()
        except OSError:
            return told
        return {**told, "log_bytes": log_file.st_size, "log_kept": log_file.st_blocks * BLOCK}

    def _inspect(self, session: str) -> Message:
        try:
            return self._link.call(protocol.INSPECT, session=session)
        except Refusal as refusal:
            log.debug("the keeper does not tell of session %s: %s", session, refusal)
            return {}

    def _log_path(self, session: str) -> Path:
        return self._config.data_dir / "logs" / f"{session}.log"

    def _start_fields(self, order: Order) -> Message:
        return {
            "session": order.session,
            "script": order.script,
            "env": self._environment(order),
            "user": self._config.run_as,
            "hostname": self._config.hostname,
            "cloud": self._cloud,
            "sessions": order.sessions,
            "port_range": self._config.port_range,
            "record": order.record,
        }

    def _environment(self, order: Order) -> dict[str, str]:
        """All of it but its port; the request's own comes before what is inherited, and who it is before all."""
        user = {}
        if self._config.run_as:
            user = {"HOME": _home_of(self._config.run_as), "USER": self._config.run_as}
        identity = {
            "PYCLOUD_SESSION": order.session,
            "PYCLOUD_CLOUD": self._cloud,
            "PYCLOUD_HOSTNAME": self._config.hostname,
        }
        return {**self._inherited, **user, **order.env, **identity}

    def _expect(self, session: str) -> AsyncResult:
        return self._ends.setdefault(session, AsyncResult())

    def _settle(self, session: str, exit_: Exit) -> None:
        end = self._ends.get(session)
        if end is not None and not end.ready():
            end.set(exit_)

    def _on_event(self, event: Message) -> None:
        if event["event"] == protocol.ENDED:
            self._settle(event["session"], Exit(event["exit_code"], event["reason"], event["ended"]))

    def _catch_up(self) -> None:
        """After a new line to the keeper: sessions may have ended unheard, or be gone altogether."""
        # Asked for before the list is: what is started meanwhile may not be in it yet.
        waited_for = list(self._ends)
        known = {entry["session"]: entry for entry in self._link.call(protocol.LIST)["sessions"]}
        for session in waited_for:
            exit_ = _exit(known[session]) if session in known else Exit(None, GONE, time())
            if exit_ is not None:
                self._settle(session, exit_)


def _home_of(user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:  # it was there when the daemon started
        raise StartFailed(f"cannot run as {user!r}: this host has no such user") from None


def _found(entry: Message) -> Found:
    started = None if entry["started"] is None else Started(entry["port"], entry["started"])
    return Found(
        session=entry["session"],
        phase=Phase(entry["state"]),
        record=entry["record"],
        started=started,
        exit=_exit(entry),
        removal=entry["removing"],
    )


def _exit(entry: Message) -> Exit | None:
    if entry["ended"] is None:
        return None
    return Exit(entry["exit_code"], entry["reason"], entry["ended"])
