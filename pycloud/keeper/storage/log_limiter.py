"""Limits the size of the logs of running sessions: checks growing logs often, and quiet logs never.

Quiet logs are watched with inotify, so that the first new byte is noticed at once. From then on the log is checked,
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
from pycloud.keeper.system.inotify import InotifyWatcher

log = logging.getLogger(__name__)

MIN_DELAY, MAX_DELAY = 0.02, 0.25  # seconds between two checks of a growing log
UNWATCHED_DELAY = 1.0  # seconds between two checks of a quiet log that inotify cannot watch


def next_delay(elapsed: float, growth: int, max_bytes: int) -> float:
    """Return the seconds until the next check of a log that grew by ``growth`` bytes in ``elapsed`` seconds.

    This is the time in which it would grow by a quarter of ``max_bytes``, but at most twice ``elapsed``, so that a
    burst after a slow start is not checked at the slowest rate for long; at least MIN_DELAY and at most MAX_DELAY.
    """
    return max(MIN_DELAY, min(MAX_DELAY, elapsed * 2, elapsed * (max_bytes / 4) / growth))


@dataclass(slots=True)
class TrackedLog:
    """The state of a log at its last check. ``due``: time of the next check; None while it is quiet and watched."""

    path: str
    checked_at: float
    size: int = 0
    due: float | None = None
    watch: int | None = None


class LogLimiter:
    """Limits logs to ``max_bytes`` bytes. ``path`` maps a session id to its log; ``clock``: monotonic seconds."""

    def __init__(
        self,
        path: Callable[[str], str],
        max_bytes: int,
        watcher: InotifyWatcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_bytes = max_bytes
        self._path = path
        self._watcher = watcher
        self._clock = clock
        self._logs: dict[str, TrackedLog] = {}
        self._watched: dict[int, str] = {}
        self._queue: list[tuple[float, str]] = []
        self._logged_errnos: set[int | None] = set()

    def add(self, session: str, now: float) -> None:
        """Start limiting the log of a session."""
        self._logs[session] = tracked = TrackedLog(self._path(session), now)
        self._watch(session, tracked, now)

    def discard(self, session: str) -> None:
        """Stop limiting the log of a session, after a last check."""
        tracked = self._logs.pop(session, None)
        if tracked is not None:
            self._limit_size(session, tracked)
            self._unwatch(tracked)

    def due(self) -> float | None:
        """Return when ``tick`` is to be called (monotonic seconds); None while all logs are quiet."""
        while self._queue and not self._is_current(*self._queue[0]):
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def tick(self, now: float) -> None:
        """Check the logs that are due."""
        while (due := self.due()) is not None and due <= now:
            session = heapq.heappop(self._queue)[1]
            self._check(session, self._logs[session], now)

    def on_inotify_events(self, _mask: int) -> None:
        """Handle events of inotify: quiet logs were written to."""
        now = self._clock()
        for watch in self._watcher.read_events():
            sessions = list(self._watched.values()) if watch == inotify.ANY_WATCH else [self._watched.get(watch, "")]
            for session in sessions:
                if session in self._logs:
                    self._on_write(session, self._logs[session], now)

    def _is_current(self, due: float, session: str) -> bool:
        """Return whether an entry of the queue is still valid."""
        return session in self._logs and self._logs[session].due == due

    def _on_write(self, session: str, tracked: TrackedLog, now: float) -> None:
        self._unwatch(tracked)
        tracked.checked_at = now
        self._schedule_check(session, tracked, now + MIN_DELAY)

    def _check(self, session: str, tracked: TrackedLog, now: float) -> None:
        growth, elapsed = self._limit_size(session, tracked), max(now - tracked.checked_at, MIN_DELAY)
        tracked.checked_at = now
        if growth > 0:
            self._schedule_check(session, tracked, now + next_delay(elapsed, growth, self.max_bytes))
        else:
            self._watch(session, tracked, now)

    def _schedule_check(self, session: str, tracked: TrackedLog, when: float) -> None:
        tracked.due = when
        heapq.heappush(self._queue, (when, session))

    def _watch(self, session: str, tracked: TrackedLog, now: float) -> None:
        """Watch a log with inotify; a write just before the watch began is not missed."""
        tracked.due = None
        try:
            tracked.watch = self._watcher.add(tracked.path)
            self._watched[tracked.watch] = session
            if os.stat(tracked.path).st_size != tracked.size:
                self._on_write(session, tracked, now)
        except FileNotFoundError:
            return  # it was deleted: there is nothing to limit
        except OSError as error:
            self._log_once(session, error)
            self._schedule_check(session, tracked, now + UNWATCHED_DELAY)

    def _unwatch(self, tracked: TrackedLog) -> None:
        if tracked.watch is not None:
            self._watched.pop(tracked.watch, None)
            self._watcher.remove(tracked.watch)
            tracked.watch = None

    def _limit_size(self, session: str, tracked: TrackedLog) -> int:
        """Free the old part of the log; return the bytes by which it has grown since the last check."""
        try:
            size = os.stat(tracked.path).st_size
            growth = size - tracked.size
            if growth > 0 and size > self.max_bytes:
                log_file.limit_size(tracked.path, self.max_bytes)
        except FileNotFoundError:
            return 0
        except OSError as error:
            self._log_once(session, error)
            return 0
        tracked.size = size
        return growth

    def _log_once(self, session: str, error: OSError) -> None:
        """Log each errno once: it concerns many logs, each of which is checked often."""
        if error.errno not in self._logged_errnos:
            self._logged_errnos.add(error.errno)
            log.warning("cannot watch or limit the log of session %s: %s", session, error)
