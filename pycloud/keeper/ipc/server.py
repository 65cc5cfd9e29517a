"""The keeper's socket server: connections, and the lines received and sent over them. Never blocks on a slow peer.

May touch: its sockets.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pycloud.keeper.ipc import protocol
from pycloud.keeper.ipc.protocol import LineError, LineSplitter

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
MAX_BACKLOG = 64 * 1024 * 1024  # bytes that a peer may leave unread
_CHUNK = 64 * 1024
MAX_FLUSH_DELAY = 0.005  # seconds for which a message may be held back to be sent together with later ones
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

Message = dict[str, Any]
Handler = Callable[[Message, Callable[[Message], None]], None]


class Connection:
    """One peer. ``send_queue`` holds the data that it has not read yet, ``backlog`` its size in bytes."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.splitter = LineSplitter()
        self.closed = False
        self.backlog = 0
        self.send_queue: deque[memoryview] = deque()

    def enqueue(self, data: bytes) -> bool:
        """Queue ``data`` for the peer; return False when the peer has left too much unread.

        The message being sent does not count: an event queued after one long response must not cost the connection.
        """
        if self.backlog - (len(self.send_queue[0]) if self.send_queue else 0) > MAX_BACKLOG:
            return False
        self.send_queue.append(memoryview(data))
        self.backlog += len(data)
        return True

    def flush(self) -> None:
        """Send as much as the peer accepts now. Raises OSError when the peer is gone."""
        while self.send_queue:
            try:
                sent = self.socket.send(self.send_queue[0])
            except BlockingIOError:
                return
            self.backlog -= sent
            if sent == len(self.send_queue[0]):
                self.send_queue.popleft()
            else:
                self.send_queue[0] = self.send_queue[0][sent:]


class Server:
    """Passes requests to ``handle`` (message, reply); ``clock`` returns monotonic seconds.

    Messages are sent at the end of each iteration of the loop (``flush``), and within a long iteration every
    MAX_FLUSH_DELAY seconds: each write wakes the daemon, which costs more than most messages.
    """

    def __init__(
        self, selector: selectors.BaseSelector, handle: Handler, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._selector = selector
        self._handle = handle
        self._clock = clock
        self._connections: set[Connection] = set()
        self._unsent: set[Connection] = set()
        self._unsent_since = 0.0
        self._listener: socket.socket | None = None
        self._path = Path()
        self._socket_file_id: list[int] | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def listen(self, path: Path) -> None:
        """Start accepting connections at ``path``. Raises OSError."""
        listener = protocol.bind(path)
        self._stop_listening()
        listener.setblocking(False)
        self._listener, self._path, self._socket_file_id = listener, path, protocol.file_id(path)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)

    def listen_again(self) -> None:
        """Create the socket anew where its file was deleted or replaced: no client can reach the old one."""
        if self._listener is None or protocol.file_id(self._path) == self._socket_file_id:
            return
        try:
            self.listen(self._path)
        except OSError as error:
            log.error("cannot listen at %s again: %s", self._path, error)
        else:
            log.info("listening at %s again", self._path)

    def emit(self, event: Message) -> None:
        """Send an event to all connections."""
        if self._connections:
            data = protocol.encode(event)
            for connection in list(self._connections):
                self._send(connection, data)

    def flush(self) -> None:
        """Send all queued messages."""
        unsent, self._unsent = self._unsent, set()
        for connection in unsent:
            if not connection.closed:
                self._flush(connection)

    def close(self) -> None:
        """Stop accepting connections and close the open ones."""
        self.flush()
        if self._listener is not None and protocol.file_id(self._path) == self._socket_file_id:
            self._path.unlink()
        self._stop_listening()
        for connection in list(self._connections):
            self._drop(connection)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, mask: int) -> None:
        assert self._listener is not None
        try:
            peer, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("cannot accept a connection: %s", error)
            return
        rejection_reason = self._rejection_reason(peer)
        if rejection_reason:
            log.warning("dropped a connection: %s", rejection_reason)
            peer.close()
            return
        peer.setblocking(False)
        connection = Connection(peer)
        self._connections.add(connection)
        self._selector.register(peer, selectors.EVENT_READ, lambda ready: self._serve(connection, ready))

    def _rejection_reason(self, peer: socket.socket) -> str | None:
        data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        uid = _CREDENTIALS.unpack(data)[1]
        if not is_allowed_uid(uid, os.geteuid()):
            return f"user {uid} may not connect to this keeper"
        return f"{MAX_CONNECTIONS} are open, which is the limit" if len(self._connections) >= MAX_CONNECTIONS else None

    def _serve(self, connection: Connection, mask: int) -> None:
        if connection.closed:
            return  # closed by another handler in the same iteration of the loop
        if mask & selectors.EVENT_WRITE:
            self._flush(connection)
        try:
            if mask & selectors.EVENT_READ and not connection.closed:
                self._read(connection)
        except OSError as error:
            self._drop_broken(connection, error)

    def _read(self, connection: Connection) -> None:
        data = connection.socket.recv(_CHUNK)
        if not data:
            self._drop(connection)
            return
        try:
            lines = connection.splitter.feed(data)
        except LineError as error:
            self._send(connection, protocol.encode({"seq": None, **_error_response(protocol.BAD_REQUEST, str(error))}))
            log.warning("dropped a connection: %s", error)
            self._flush(connection)
            self._drop(connection)
            return
        for line in lines:
            if not connection.closed:
                self._handle_request(connection, line)

    def _handle_request(self, connection: Connection, line: bytes) -> None:
        try:
            message = protocol.decode(line)
        except LineError as error:
            self._respond(connection, None, _error_response(protocol.BAD_REQUEST, str(error)), expected=True)
            return
        seq, expected = message.get("seq"), "seq" in message
        try:
            self._handle(message, lambda answer: self._respond(connection, seq, answer, expected))
        except Exception:  # a request that fails must not end the keeper of all sessions
            log.exception("a request failed: %.200r", line)
            self._respond(
                connection,
                seq,
                _error_response("internal", "the request failed; see the log of the keeper"),
                expected,
            )

    def _respond(self, connection: Connection, seq: object, response: Message, expected: bool) -> None:
        """Send a response; no response is expected to a request without ``seq``, where an error is logged instead."""
        if expected:
            self._send(connection, protocol.encode({"seq": seq, **response}))
        elif "error" in response:
            log.warning("a request without seq failed: %s", response["error"])

    def _send(self, connection: Connection, data: bytes) -> None:
        if connection.closed:
            return
        if not connection.enqueue(data):
            log.warning("dropped a connection that has left %d bytes unread", connection.backlog)
            self._drop(connection)
            return
        now = self._clock()
        if not self._unsent:
            self._unsent_since = now
        self._unsent.add(connection)
        if now - self._unsent_since >= MAX_FLUSH_DELAY:
            self.flush()

    def _flush(self, connection: Connection) -> None:
        try:
            connection.flush()
        except OSError as error:
            self._drop_broken(connection, error)
            return
        self._update_interest(connection)

    def _drop_broken(self, connection: Connection, error: OSError) -> None:
        log.info("a connection broke: %s", error)
        self._drop(connection)

    def _update_interest(self, connection: Connection) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.send_queue else 0)
        key = self._selector.get_key(connection.socket)
        if key.events != wanted:
            self._selector.modify(connection.socket, wanted, key.data)

    def _drop(self, connection: Connection) -> None:
        if not connection.closed:
            connection.closed = True
            self._connections.discard(connection)
            self._selector.unregister(connection.socket)
            connection.socket.close()
            connection.send_queue.clear()


def is_allowed_uid(uid: int, own_uid: int) -> bool:
    """Return whether the peer is root or runs as this process's user."""
    return uid in (own_uid, 0)


def _error_response(code: str, message: str) -> Message:
    return {"error": {"code": code, "message": message}}
