"""Requests that cannot be answered: counted, and logged once per kind and minute, never with the payload."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from time import monotonic

log = logging.getLogger(__name__)

#: Seconds in which one kind is logged once.
LOG_INTERVAL = 60.0


class DropCounter:
    """Counts what was dropped. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._logged: dict[str, tuple[float, int]] = {}

    @property
    def total(self) -> int:
        """How many were dropped so far, of all kinds."""
        return self._counts.total()

    def add(self, kind: str, channel: str, reason: str) -> None:
        """One more of ``kind``, on ``channel``."""
        self._counts[kind] += 1
        now = self._clock()
        logged_at, logged_count = self._logged.get(kind, (float("-inf"), 0))
        if now - logged_at < LOG_INTERVAL:
            return
        suppressed = self._counts[kind] - logged_count - 1
        more = f" (and {suppressed} more of this kind since the last such line)" if suppressed else ""
        log.warning("dropped a request on %s: %s%s", channel, reason, more)
        self._logged[kind] = now, self._counts[kind]
