"""The daemon's line to its keeper: finds it or starts it, asks it, hears from it, and survives its death.

A request that was not answered when the line broke is sent again: all of the keeper's operations may be repeated.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import gevent
import msgspec
from gevent.event import AsyncResult, Event

import pycloud
from pycloud.errors import KeeperError
from pycloud.keeper import protocol

log = logging.getLogger(__name__)

CHUNK = 1 << 16
#: Seconds until a keeper that was started must answer, and between two looks whether it does.
START_PATIENCE, LOOK = 10.0, 0.02
#: Seconds between two attempts to start one.
PAUSE = 0.5

Message = dict[str, Any]


class Refusal(Exception):
    """The keeper's own words why it did not do what it was asked."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class KeeperSettings:
    """What a keeper is started with. ``nofile`` is the soft limit on descriptors that sessions get."""

    data_dir: Path
    run_dir: Path
    log_bytes: int
    nofile: int

    @property
    def command(self) -> list[str]:
        """The command line; -S because a keeper needs nothing but the standard library."""
        options = {
            "--data-dir": self.data_dir,
            "--socket": self.run_dir / "keeper.sock",
            "--log-bytes": self.log_bytes,
            "--nofile": self.nofile,
        }
        words = [str(word) for pair in options.items() for word in pair]
        return [sys.executable, "-S", "-X", "utf8", "-m", "pycloud.keeper", *words]


class KeeperLink:
    """One line to the keeper of ``settings.data_dir``. ``on_event`` gets each event, ``on_new`` each (re)connect."""

    def __init__(self, settings: KeeperSettings) -> None:
        self._settings = settings
        self._numbers = count(1)
        self._pending: dict[int, tuple[bytes, AsyncResult]] = {}
        self._socket: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._outgoing: list[bytes] = []
        self._something_to_send = Event()
        self._greenlets: list[gevent.Greenlet] = []
        self.on_event: Callable[[Message], None] = lambda _event: None
        self.on_new: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Connect, starting a keeper where there is none. Raises KeeperError."""
        self._connect()
        self._greenlets = [gevent.spawn(self._read_for_ever), gevent.spawn(self._write_for_ever)]

    def close(self) -> None:
        """Hang up; the keeper stays as long as it has sessions."""
        gevent.killall(self._greenlets)
        self._hang_up()

    def call(self, op: str, **fields: Any) -> Message:
        """The keeper's reply, after however long that takes. Raises Refusal."""
        number, result = next(self._numbers), AsyncResult()
        line = msgspec.json.encode({"seq": number, "op": op, **fields}) + b"\n"
        self._pending[number] = line, result
        self._send(line)
        try:
            reply: Message = result.get()
        finally:
            self._pending.pop(number, None)
        if "error" in reply:
            raise Refusal(reply["error"]["code"], reply["error"]["message"])
        return reply

    def _send(self, line: bytes) -> None:
        """Hand a line to the writer: two greenlets must never write at once."""
        self._outgoing.append(line)
        self._something_to_send.set()

    def _write_for_ever(self) -> None:
        """Send what has gathered. What a broken line swallows is sent again by the reader, once there is a keeper."""
        while True:
            self._something_to_send.wait()
            self._something_to_send.clear()
            gathered, self._outgoing = b"".join(self._outgoing), []
            if self._socket is None:
                continue
            try:
                self._socket.sendall(gathered)
            except OSError as error:
                log.debug("the keeper's line broke while writing: %s", error)

    def _read_for_ever(self) -> None:
        while True:
            self._read()
            log.warning("the keeper is gone; its sessions go on, starting another one")
            self._hang_up()
            self._connect_at_last()
            self._outgoing.clear()
            for line, _result in list(self._pending.values()):
                self._send(line)
            gevent.spawn(self.on_new)

    def _read(self) -> None:
        """Hand out what the keeper says until it says no more."""
        lines = protocol.Lines(longest=None)  # the list of all sessions is one line
        while self._socket is not None:
            try:
                chunk = self._socket.recv(CHUNK)
            except OSError as error:
                log.debug("the keeper's line broke while reading: %s", error)
                return
            if not chunk:
                return
            for line in lines.feed(chunk):
                self._hear(msgspec.json.decode(line))

    def _hear(self, message: Message) -> None:
        if "event" in message:
            self.on_event(message)
        elif message.get("seq") in self._pending:
            self._pending[message["seq"]][1].set(message)

    def _connect_at_last(self) -> None:
        while True:
            try:
                return self._connect()
            except KeeperError as error:
                log.error("%s; trying again", error)
                gevent.sleep(PAUSE)

    def _connect(self) -> None:
        """Reach the keeper that runs, or start one."""
        if not self._reach(self._known_socket()):
            self._start()
            with gevent.Timeout(START_PATIENCE, KeeperError(f"the keeper did not start; {self._hint()}")):
                while not self._reach(self._known_socket()):
                    if self._child is not None and self._child.poll() is not None:
                        raise KeeperError(f"the keeper ended with code {self._child.returncode}; {self._hint()}")
                    gevent.sleep(LOOK)
        if self._child is not None:
            self._child.poll()

    def _reach(self, path: Path) -> bool:
        try:
            self._socket = protocol.connect(path)
        except OSError:
            return False
        return True

    def _known_socket(self) -> Path:
        """Where the keeper listens: it writes that down, because the run directory may have been set anew since."""
        try:
            return Path(msgspec.json.decode((self._settings.data_dir / "keeper.lock").read_bytes())["socket"])
        except (OSError, msgspec.DecodeError, KeyError, TypeError):
            return self._settings.run_dir / "keeper.sock"

    def _start(self) -> None:
        package = Path(pycloud.__file__).parent.parent
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYCLOUD_FAULT")}
        with (self._settings.data_dir / "keeper.log").open("ab") as log_file:
            self._child = subprocess.Popen(
                self._settings.command,
                env={**kept, "PYTHONPATH": str(package)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log_file,
                start_new_session=True,
            )

    def _hint(self) -> str:
        return f"see {self._settings.data_dir / 'keeper.log'}"

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
