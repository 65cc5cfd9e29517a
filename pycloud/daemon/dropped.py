"""Requests that cannot be answered: counted, and logged once per kind and minute, never with the payload."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from time import monotonic

log = logging.getLogger(__name__)

#: Seconds in which one kind is logged once.
QUIET = 60.0


class Dropped:
    """Counts what was dropped. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._said: dict[str, tuple[float, int]] = {}

    @property
    def total(self) -> int:
        """How many were dropped so far, of all kinds."""
        return self._counts.total()

    def drop(self, kind: str, channel: str, reason: str) -> None:
        """One more of ``kind``, on ``channel``."""
        self._counts[kind] += 1
        now = self._clock()
        said_at, said_count = self._said.get(kind, (float("-inf"), 0))
        if now - said_at < QUIET:
            return
        silent = self._counts[kind] - said_count - 1
        more = f" (and {silent} more of this kind since the last such line)" if silent else ""
        log.warning("dropped a request on %s: %s%s", channel, reason, more)
        self._said[kind] = now, self._counts[kind]
