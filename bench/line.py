"""A connection to Redis that costs its user as little as can be: bytes out, replies in, nothing in between."""

from __future__ import annotations

import socket
from typing import Any, Self

import hiredis

PATIENCE = 30.0


class Line:
    """``port``: of a Redis on loopback. ``silent``: it answers nothing, so that nothing needs to be read."""

    def __init__(self, port: int, *, silent: bool = False) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        if silent:
            self.send(("CLIENT", "REPLY", "OFF"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, *commands: tuple[str | bytes | int | float, ...]) -> None:
        """All in one write."""
        # Its own description of what it takes names a tuple of one.
        self._socket.sendall(b"".join([hiredis.pack_command(each) for each in commands]))  # type: ignore[arg-type]

    def read(self, timeout: float = PATIENCE) -> list[Any]:
        """The replies that are there, at least one. Raises TimeoutError where none comes within ``timeout`` (s)."""
        self._socket.settimeout(timeout)
        while True:
            replies = []
            while (reply := self._reader.gets()) is not False:
                replies.append(reply)
            if replies:
                return replies
            data = self._socket.recv(1 << 18)
            if not data:
                raise ConnectionError("Redis hung up")
            self._reader.feed(data)

    def ask(self, *commands: tuple[str | bytes | int | float, ...]) -> list[Any]:
        """One reply for each command."""
        self.send(*commands)
        replies: list[Any] = []
        while len(replies) < len(commands):
            replies += self.read()
        return replies
