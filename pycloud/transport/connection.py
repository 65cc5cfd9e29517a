"""Establishes connections to Redis, with backoff and outage log: shared by ``pipeline.py`` and ``subscriber.py``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import hiredis
import redis
from redis.connection import ConnectionPool

log = logging.getLogger(__name__)

#: Seconds without a reply after which Redis counts as lost.
TIMEOUT = 5.0
#: Seconds between attempts to connect: doubling from the first to the second.
INITIAL_DELAY, MAX_DELAY = 0.05, 2.0

#: Bytes per read, enough for about a hundred requests.
READ_SIZE = 1 << 14

#: redis-py types its connections only in part.
Connection = Any


def make_pool(url: str, **options: Any) -> ConnectionPool:
    """A pool for ``url`` with redis-py's set-up commands and managed-service messages switched off."""
    quiet: dict[str, Any] = {"protocol": 2, "driver_info": None, "lib_name": None, "lib_version": None}
    return ConnectionPool.from_url(url, socket_connect_timeout=TIMEOUT, **quiet, **options)


def connect(pool: ConnectionPool) -> Connection:
    """A new connection, authenticated and ready. Raises redis.RedisError or OSError.

    Created outside of the pool, which would count it forever and reject the hundredth.
    """
    connection: Connection = pool.connection_class(**pool.connection_kwargs)
    try:
        connection.connect()
    except BaseException:
        connection.disconnect()
        raise
    return connection


def send(connection: Connection, commands: Iterable[tuple[str | bytes | int | float, ...]]) -> None:
    """Write commands in one piece. Raises OSError. redis-py takes several times as long for the same."""
    # hiredis' own type annotation is a tuple of one.
    data = b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]
    sent = connection._sock.send(data)
    if sent < len(data):
        connection._sock.sendall(memoryview(data)[sent:])


class ReplyReader:
    """Reads all replies that are available on a connection at once.

    redis-py reads one message at a time, which takes as long as most of its handling. Once a ReplyReader is in use,
    nothing else may read the connection.
    """

    def __init__(self, connection: Connection) -> None:
        self._socket = connection._sock
        self._reader = hiredis.Reader(protocolError=redis.InvalidResponse, replyError=redis.ResponseError)

    def read(self) -> list[Any]:
        """Wait for data; returns the complete messages, which may be none yet. Raises redis.RedisError or OSError."""
        data = self._socket.recv(READ_SIZE)
        if not data:
            raise redis.ConnectionError("the server closed the connection")
        self._reader.feed(data)
        messages = []
        while (message := self._reader.gets()) is not False:
            if isinstance(message, redis.ResponseError):
                raise message
            messages.append(message)
        return messages


class OutageLog:
    """Logs once that Redis is lost and once that it is back, however many connections notice."""

    def __init__(self) -> None:
        self._down: set[str] = set()
        self._since = 0.0
        #: Called when one component loses its connection: the others, which may not have noticed yet, check their own.
        self.on_down: Callable[[], None] = lambda: None

    def mark_down(self, component: str, reason: object) -> None:
        """``component`` has no connection."""
        if not self._down:
            self._since = monotonic()
            self.on_down()
            log.warning(
                "Redis is lost (%s: %s); sessions keep running, reconnecting until it is back", component, reason
            )
        self._down.add(component)

    def mark_up(self, component: str) -> None:
        """``component`` has a connection again."""
        if component in self._down:
            self._down.discard(component)
            if not self._down:
                log.warning("Redis is back after %.1f s", monotonic() - self._since)


@dataclass
class Backoff:
    """Seconds to wait between attempts: doubling, bounded, and reset after a success."""

    delay: float = field(default=INITIAL_DELAY)

    def reset(self) -> None:
        """The last attempt succeeded."""
        self.delay = INITIAL_DELAY

    def next_delay(self) -> float:
        """Seconds to wait before the next attempt."""
        delay, self.delay = self.delay, min(self.delay * 2, MAX_DELAY)
        return delay
