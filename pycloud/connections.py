"""How connections to Redis are made, paused between and reported lost: shared by ``bus.py`` and ``subscriber.py``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from redis.connection import ConnectionPool

log = logging.getLogger(__name__)

#: Seconds until a Redis that says nothing counts as lost.
PATIENCE = 5.0
#: Seconds between attempts to connect.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0

#: redis-py types its connections only in part.
Connection = Any


def make_pool(url: str, **options: Any) -> ConnectionPool:
    """Connections to ``url`` with redis-py's own retries, set-up chatter and managed-service messages switched off."""
    quiet: dict[str, Any] = {"protocol": 2, "driver_info": None, "lib_name": None, "lib_version": None}
    return ConnectionPool.from_url(url, socket_connect_timeout=PATIENCE, **quiet, **options)


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


class Outage:
    """Says once that Redis is lost and once that it is back, however many connections notice."""

    def __init__(self) -> None:
        self._parts: set[str] = set()
        self._since = 0.0
        #: Called when one part is lost: the others, which may not have noticed yet, look at their own connections.
        self.on_suspicion: Callable[[], None] = lambda: None

    def lost(self, part: str, reason: object) -> None:
        """``part`` has no connection."""
        if not self._parts:
            self._since = monotonic()
            self.on_suspicion()
            log.warning("Redis is lost (%s: %s); sessions go on, reconnecting until it is back", part, reason)
        self._parts.add(part)

    def back(self, part: str) -> None:
        """``part`` has a connection again."""
        if part in self._parts:
            self._parts.discard(part)
            if not self._parts:
                log.warning("Redis is back after %.1f s", monotonic() - self._since)


@dataclass
class Pauses:
    """Seconds to wait between attempts: doubling, bounded, and short again after a success."""

    next: float = field(default=FIRST_PAUSE)

    def reset(self) -> None:
        """The last attempt succeeded."""
        self.next = FIRST_PAUSE

    def take(self) -> float:
        """How long to wait now."""
        pause, self.next = self.next, min(self.next * 2, LONGEST_PAUSE)
        return pause
