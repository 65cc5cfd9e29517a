"""How connections to Redis are made, paused between and reported lost: shared by ``bus.py`` and ``subscriber.py``."""

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

#: Seconds until a Redis that says nothing counts as lost.
TIMEOUT = 5.0
#: Seconds between attempts to connect.
INITIAL_DELAY, MAX_DELAY = 0.05, 2.0

#: Bytes that are read at once, a hundred requests or so.
READ_SIZE = 1 << 14

#: redis-py types its connections only in part.
Connection = Any


def make_pool(url: str, **options: Any) -> ConnectionPool:
    """Connections to ``url`` with redis-py's own retries, set-up chatter and managed-service messages switched off."""
    quiet: dict[str, Any] = {"protocol": 2, "driver_info": None, "lib_name": None, "lib_version": None}
    return ConnectionPool.from_url(url, socket_connect_timeout=TIMEOUT, **quiet, **options)


def connect(pool: ConnectionPool) -> Connection:
    """A new connection, authenticated and ready. Raises redis.RedisError or OSError.

    Made beside the pool, which would count it for ever and refuse the hundredth.
    """
    connection: Connection = pool.connection_class(**pool.connection_kwargs)
    try:
        connection.connect()
    except BaseException:
        connection.disconnect()
        raise
    return connection


def send(connection: Connection, commands: Iterable[tuple[str | bytes | int | float, ...]]) -> None:
    """Write commands, all in one piece. Raises OSError. redis-py, asked for the same, takes several times as long."""
    # hiredis' own description of what it takes names a tuple of one.
    data = b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]
    sent = connection._sock.send(data)
    if sent < len(data):
        connection._sock.sendall(memoryview(data)[sent:])


class ReplyReader:
    """What a server says over a connection, all that is there at once.

    redis-py reads one message at a time, which takes as long as most of what is done about one. Once somebody reads
    this, nobody may read the connection itself.
    """

    def __init__(self, connection: Connection) -> None:
        self._socket = connection._sock
        self._reader = hiredis.Reader(protocolError=redis.InvalidResponse, replyError=redis.ResponseError)

    def read(self) -> list[Any]:
        """Wait for messages; those that have come, which may be none yet. Raises redis.RedisError or OSError."""
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
    """Says once that Redis is lost and once that it is back, however many connections notice."""

    def __init__(self) -> None:
        self._down: set[str] = set()
        self._since = 0.0
        #: Called when one part is lost: the others, which may not have noticed yet, look at their own connections.
        self.on_down: Callable[[], None] = lambda: None

    def mark_down(self, component: str, reason: object) -> None:
        """``part`` has no connection."""
        if not self._down:
            self._since = monotonic()
            self.on_down()
            log.warning("Redis is lost (%s: %s); sessions go on, reconnecting until it is back", component, reason)
        self._down.add(component)

    def mark_up(self, component: str) -> None:
        """``part`` has a connection again."""
        if component in self._down:
            self._down.discard(component)
            if not self._down:
                log.warning("Redis is back after %.1f s", monotonic() - self._since)


@dataclass
class Backoff:
    """Seconds to wait between attempts: doubling, bounded, and short again after a success."""

    delay: float = field(default=INITIAL_DELAY)

    def reset(self) -> None:
        """The last attempt succeeded."""
        self.delay = INITIAL_DELAY

    def next_delay(self) -> float:
        """How long to wait now."""
        delay, self.delay = self.delay, min(self.delay * 2, MAX_DELAY)
        return delay
