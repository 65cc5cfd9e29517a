"""The daemon's client of its keeper: sends requests, receives events, and reconnects when the keeper dies.

A request without response when the connection broke is sent again: all operations of the keeper may be repeated.
``keeper_process.py`` finds or starts the keeper.
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
from pycloud.runtimes.script.keeper_process import KeeperConnection, KeeperLauncher, KeeperSettings

log = logging.getLogger(__name__)

CHUNK = 1 << 16
#: Seconds between two attempts to start a keeper, and before reconnecting after data that could not be parsed.
RETRY_INTERVAL = 0.5

KeeperMessage = dict[str, Any]


class KeeperClient:
    """One connection to the keeper of ``settings.data_dir``.

    ``on_event`` is called with each event, ``on_reconnected`` after each reconnect.
    """

    def __init__(self, settings: KeeperSettings) -> None:
        self._launcher = KeeperLauncher(settings)
        self._sequence = count(1)
        self._pending: dict[int, tuple[bytes, AsyncResult]] = {}
        self._connection: KeeperConnection | None = None
        self._outgoing: list[bytes] = []
        self._has_outgoing = Event()
        self._write_lock = BoundedSemaphore(1)
        self._greenlets: list[gevent.Greenlet] = []
        self.on_event: Callable[[KeeperMessage], None] = lambda _event: None
        self.on_reconnected: Callable[[], None] = lambda: None

    def connect(self) -> None:
        """Connect, starting a keeper where there is none. Raises KeeperError."""
        self._connection = self._launcher.connect()
        self._greenlets = [gevent.spawn(self._read_for_ever), gevent.spawn(self._write_for_ever)]

    def disconnect(self) -> None:
        """Disconnect; the keeper stays as long as it has sessions."""
        gevent.killall(self._greenlets)
        self._close_connection()

    def call(self, op: str, **fields: Any) -> KeeperMessage:
        """Return the keeper's response, however long that takes. Raises OperationRejected."""
        seq, result = next(self._sequence), AsyncResult()
        line = protocol.encode({"seq": seq, "op": op, **fields})
        is_only_call = not self._pending
        self._pending[seq] = line, result
        self._send(line)
        if is_only_call:  # further calls are left to the writer greenlet: together they wake the keeper once
            self._write()
        try:
            response: KeeperMessage = result.get()
        finally:
            self._pending.pop(seq, None)
        if "error" in response:
            raise protocol.OperationRejected.from_response(response)
        return response

    def _send(self, line: bytes) -> None:
        """Queue a line for sending."""
        self._outgoing.append(line)
        self._has_outgoing.set()

    def _write_for_ever(self) -> None:
        while True:
            self._has_outgoing.wait()
            self._write()

    def _write(self) -> None:
        """Send all queued lines. Lines lost with a broken connection are sent again by the reader after a reconnect."""
        with self._write_lock:  # two greenlets must never write at once
            self._has_outgoing.clear()
            batch, self._outgoing = b"".join(self._outgoing), []
            if self._connection is None or not batch:
                return
            try:
                self._connection.socket.sendall(batch)
            except OSError as error:
                log.debug("the connection to the keeper was lost while writing: %s", error)

    def _read_for_ever(self) -> None:
        while True:
            try:
                self._read()
            except protocol.LineError as error:
                log.error("invalid message from the keeper, reconnecting: %s", error)
                gevent.sleep(RETRY_INTERVAL)  # the keeper may send the same again
            else:
                log.warning("the keeper has ended; its sessions keep running; starting a new keeper")
            self._close_connection()
            self._connection = self._reconnect()
            self._outgoing.clear()
            for line, _result in list(self._pending.values()):
                self._send(line)
            gevent.spawn(self.on_reconnected)

    def _read(self) -> None:
        """Handle messages from the keeper until the connection ends. Raises LineError."""
        while self._connection is not None:
            try:
                chunk = self._connection.socket.recv(CHUNK)
            except OSError as error:
                log.debug("the connection to the keeper was lost while reading: %s", error)
                return
            if not chunk:
                return
            for line in self._connection.line_buffer.feed(chunk):
                self._on_message(line)

    def _on_message(self, line: bytes) -> None:
        message = protocol.decode(line)
        if "event" not in message:
            _, result = self._pending.get(message.get("seq", 0), (b"", None))
            if result is not None:
                result.set(message)
            return
        try:
            self.on_event(message)
        except (KeyError, TypeError) as error:
            raise protocol.LineError(
                f"an event lacks a field or has an invalid one ({error!r}): {line[:200]!r}"
            ) from error

    def _reconnect(self) -> KeeperConnection:
        while True:
            try:
                return self._launcher.connect()
            except KeeperError as error:
                log.error("%s; trying again", error)
                gevent.sleep(RETRY_INTERVAL)

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.socket.close()
            self._connection = None
