"""Keeps the logs of living sessions within their bound: looks often where one grows, and never where all is quiet.

A quiet log is watched by the kernel, so that its first new byte is noticed at once; from then on it is looked at, the
more often the faster it grows, until it is quiet again.

May touch: the logs.
"""

from __future__ import annotations

import heapq
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from pycloud.keeper.storage import log_file
from pycloud.keeper.system import inotify
from pycloud.keeper.system.inotify import Watches

log = logging.getLogger(__name__)

SOONEST, LATEST = 0.02, 0.25  # seconds between two looks at a log that grows
UNWATCHED = 1.0  # seconds between two looks at a quiet one for which the kernel gave no watch


def next_delay(elapsed: float, growth: int, keep: int) -> float:
    """Seconds until the next look at a log that grew by ``growth`` bytes in ``elapsed`` seconds.

    The time in which it would grow by a quarter of what is kept, but at most twice the last one, so that a burst
    after a slow start is not met at the slowest pace for long; never under SOONEST or over LATEST.
    """
    return max(SOONEST, min(LATEST, elapsed * 2, elapsed * (keep / 4) / growth))


@dataclass(slots=True)
class Grown:
    """A log as it was last seen. ``due`` is when it is looked at next; None while it is quiet and watched."""

    path: str
    looked: float
    size: int = 0
    due: float | None = None
    watch: int | None = None


class Sweeper:
    """``path`` maps a session id to its log, ``keep`` is the bound in bytes; ``clock`` is monotonic."""

    def __init__(
        self,
        path: Callable[[str], str],
        keep: int,
        watches: Watches,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keep = keep
        self._path = path
        self._watches = watches
        self._clock = clock
        self._logs: dict[str, Grown] = {}
        self._watched: dict[int, str] = {}
        self._queue: list[tuple[float, str]] = []
        self._said: set[int | None] = set()

    def add(self, session: str, now: float) -> None:
        """Begin to look after a log."""
        self._logs[session] = found = Grown(self._path(session), now)
        self._rest(session, found, now)

    def discard(self, session: str) -> None:
        """Stop looking after a log, after one last look."""
        found = self._logs.pop(session, None)
        if found is not None:
            self._bound(session, found)
            self._unwatch(found)

    def due(self) -> float | None:
        """When ``tick`` wants to be called (monotonic seconds); None while all logs are quiet."""
        while self._queue and not self._is_meant(*self._queue[0]):
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def tick(self, now: float) -> None:
        """Look at the logs whose time has come."""
        while (due := self.due()) is not None and due <= now:
            session = heapq.heappop(self._queue)[1]
            self._look(session, self._logs[session], now)

    def woken(self, _mask: int) -> None:
        """The kernel has seen writes to quiet logs."""
        now = self._clock()
        for watch in self._watches.fired():
            sessions = list(self._watched.values()) if watch == inotify.ANY else [self._watched.get(watch, "")]
            for session in sessions:
                if session in self._logs:
                    self._wake(session, self._logs[session], now)

    def _is_meant(self, due: float, session: str) -> bool:
        """Whether an entry of the queue still holds."""
        return session in self._logs and self._logs[session].due == due

    def _wake(self, session: str, found: Grown, now: float) -> None:
        self._unwatch(found)
        found.looked = now
        self._look_at(session, found, now + SOONEST)

    def _look(self, session: str, found: Grown, now: float) -> None:
        growth, elapsed = self._bound(session, found), max(now - found.looked, SOONEST)
        found.looked = now
        if growth > 0:
            self._look_at(session, found, now + next_delay(elapsed, growth, self.keep))
        else:
            self._rest(session, found, now)

    def _look_at(self, session: str, found: Grown, when: float) -> None:
        found.due = when
        heapq.heappush(self._queue, (when, session))

    def _rest(self, session: str, found: Grown, now: float) -> None:
        """Let the kernel watch it; what was written just before that is not missed."""
        found.due = None
        try:
            found.watch = self._watches.add(found.path)
            self._watched[found.watch] = session
            if os.stat(found.path).st_size != found.size:
                self._wake(session, found, now)
        except FileNotFoundError:
            return  # somebody deleted it: there is nothing to bound
        except OSError as error:
            self._complain(session, error)
            self._look_at(session, found, now + UNWATCHED)

    def _unwatch(self, found: Grown) -> None:
        if found.watch is not None:
            self._watched.pop(found.watch, None)
            self._watches.remove(found.watch)
            found.watch = None

    def _bound(self, session: str, found: Grown) -> int:
        """Bytes by which the log has grown since the last look."""
        try:
            size = os.stat(found.path).st_size
            grown = size - found.size
            if grown > 0 and size > self.keep:
                log_file.bound(found.path, self.keep)
        except FileNotFoundError:
            return 0
        except OSError as error:
            self._complain(session, error)
            return 0
        found.size = size
        return grown

    def _complain(self, session: str, error: OSError) -> None:
        """Each reason once: it concerns many logs, each of which is looked at often."""
        if error.errno not in self._said:
            self._said.add(error.errno)
            log.warning("cannot look after the log of session %s as it should be: %s", session, error)
