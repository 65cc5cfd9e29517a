"""The daemon's line to its keeper: asks it, hears from it, and survives its death.

A request that was not answered when the line broke is sent again: all of the keeper's operations may be repeated.
Which keeper that is, is found out in ``keeper_home.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from typing import Any

import gevent
from gevent.event import AsyncResult, Event
from gevent.lock import BoundedSemaphore

from pycloud.errors import KeeperError
from pycloud.keeper.ipc import protocol
from pycloud.runtimes.script.keeper_process import KeeperHome, KeeperSettings, Line

log = logging.getLogger(__name__)

CHUNK = 1 << 16
#: Seconds between two attempts to start a keeper, and before a line is built anew that made no sense.
PAUSE = 0.5

Message = dict[str, Any]


class Refusal(Exception):
    """The keeper's own words why it did not do what it was asked. ``passing``: asked again soon, it may do it."""

    def __init__(self, code: str, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.passing = code, message, passing


class KeeperLink:
    """One line to the keeper of ``settings.data_dir``. ``on_event`` gets each event, ``on_new`` each (re)connect."""

    def __init__(self, settings: KeeperSettings) -> None:
        self._home = KeeperHome(settings)
        self._numbers = count(1)
        self._pending: dict[int, tuple[bytes, AsyncResult]] = {}
        self._line: Line | None = None
        self._outgoing: list[bytes] = []
        self._something_to_send = Event()
        self._writing = BoundedSemaphore(1)
        self._greenlets: list[gevent.Greenlet] = []
        self.on_event: Callable[[Message], None] = lambda _event: None
        self.on_new: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Connect, starting a keeper where there is none. Raises KeeperError."""
        self._line = self._home.connect()
        self._greenlets = [gevent.spawn(self._read_for_ever), gevent.spawn(self._write_for_ever)]

    def close(self) -> None:
        """Hang up; the keeper stays as long as it has sessions."""
        gevent.killall(self._greenlets)
        self._hang_up()

    def call(self, op: str, **fields: Any) -> Message:
        """The keeper's reply, after however long that takes. Raises Refusal."""
        number, result = next(self._numbers), AsyncResult()
        line = protocol.encode({"seq": number, "op": op, **fields})
        alone = not self._pending
        self._pending[number] = line, result
        self._send(line)
        if alone:  # who is one of many waits for the others: together they wake the keeper once
            self._write()
        try:
            reply: Message = result.get()
        finally:
            self._pending.pop(number, None)
        if "error" in reply:
            error = reply["error"]
            raise Refusal(error["code"], error["message"], error.get("passing", False))
        return reply

    def _send(self, line: bytes) -> None:
        """Have a line sent."""
        self._outgoing.append(line)
        self._something_to_send.set()

    def _write_for_ever(self) -> None:
        while True:
            self._something_to_send.wait()
            self._write()

    def _write(self) -> None:
        """Send what has gathered. What a broken line swallows is sent again by the reader, once there is a keeper."""
        with self._writing:  # two greenlets must never write at once
            self._something_to_send.clear()
            gathered, self._outgoing = b"".join(self._outgoing), []
            if self._line is None or not gathered:
                return
            try:
                self._line.socket.sendall(gathered)
            except OSError as error:
                log.debug("the keeper's line broke while writing: %s", error)

    def _read_for_ever(self) -> None:
        while True:
            try:
                self._read()
            except protocol.LineError as error:
                log.error("what the keeper says makes no sense, so the line to it is built anew: %s", error)
                gevent.sleep(PAUSE)  # it may say the same again
            else:
                log.warning("the keeper is gone; its sessions go on, starting another one")
            self._hang_up()
            self._line = self._connect_at_last()
            self._outgoing.clear()
            for line, _result in list(self._pending.values()):
                self._send(line)
            gevent.spawn(self.on_new)

    def _read(self) -> None:
        """Hand out what the keeper says until it says no more. Raises LineError."""
        while self._line is not None:
            try:
                chunk = self._line.socket.recv(CHUNK)
            except OSError as error:
                log.debug("the keeper's line broke while reading: %s", error)
                return
            if not chunk:
                return
            for line in self._line.lines.feed(chunk):
                self._hear(line)

    def _hear(self, line: bytes) -> None:
        message = protocol.decode(line)
        if "event" not in message:
            _, result = self._pending.get(message.get("seq", 0), (b"", None))
            if result is not None:
                result.set(message)
            return
        try:
            self.on_event(message)
        except (KeyError, TypeError) as error:
            raise protocol.LineError(f"an event that lacks something ({error!r}): {line[:200]!r}") from error

    def _connect_at_last(self) -> Line:
        while True:
            try:
                return self._home.connect()
            except KeeperError as error:
                log.error("%s; trying again", error)
                gevent.sleep(PAUSE)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.socket.close()
            self._line = None
