"""Keeps the logs of living sessions within their bound, looking often only where one grows fast.

May touch: the logs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from pycloud.keeper import logs

log = logging.getLogger(__name__)

SOONEST, LATEST = 0.5, 10.0  # seconds between sweeps


def next_delay(elapsed: float, growth: int, keep: int) -> float:
    """Seconds until the next sweep, when the log that grew most grew by ``growth`` bytes in ``elapsed`` seconds.

    The time in which it would grow by a quarter of what is kept, but at most twice the last one, so that a burst
    after a quiet minute is not met at the slowest pace for long; never under SOONEST or over LATEST.
    """
    wanted = elapsed * (keep / 4) / growth if growth > 0 else LATEST
    return max(SOONEST, min(LATEST, elapsed * 2, wanted))


class Sweeper:
    """``path`` maps a session id to its log, ``keep`` is the bound in bytes."""

    def __init__(self, path: Callable[[str], Path], keep: int) -> None:
        self._path = path
        self._keep = keep
        self._sizes: dict[str, int] = {}
        self._swept = 0.0
        self._due: float | None = None

    def add(self, session: str, now: float) -> None:
        """Begin to look after a log."""
        if not self._sizes:
            self._swept, self._due = now, now + SOONEST
        self._sizes[session] = 0

    def discard(self, session: str) -> None:
        """Stop looking after a log, after one last sweep."""
        if session in self._sizes:
            self._sweep(session)
            del self._sizes[session]

    def due(self) -> float | None:
        """When ``tick`` wants to be called (monotonic seconds); None while no session lives."""
        return self._due if self._sizes else None

    def tick(self, now: float) -> None:
        """Sweep all logs, and decide when to do it again."""
        growth = max(map(self._sweep, list(self._sizes)), default=0)
        self._due = now + next_delay(max(now - self._swept, SOONEST), growth, self._keep)
        self._swept = now

    def _sweep(self, session: str) -> int:
        """Bytes by which the log has grown since the last sweep."""
        path = self._path(session)
        try:
            size = path.stat().st_size
            grown = size - self._sizes[session]
            if grown > 0 and size > self._keep:
                logs.bound(path, self._keep)
        except FileNotFoundError:
            return 0
        except OSError as error:
            log.warning("cannot bound the log of session %s: %s", session, error)
            return 0
        self._sizes[session] = size
        return grown
