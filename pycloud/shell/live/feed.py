"""Two threads that keep the state of Redis, the nodes and the sessions current for the prompt and ``top``.

One reads the health of Redis and the nodes; the other follows events and reads the records that changed. Readers take
the latest snapshot without waiting. Both threads continue over an outage of Redis.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Self

from pycloud.client import Client, UnusableAnswer
from pycloud.client.events import EventFollower, EventRecord
from pycloud.client.records import PAGE_SIZE
from pycloud.errors import PyCloudError
from pycloud.shell.live.health import Health, error_message
from pycloud.shell.live.session_cache import SessionCache, SessionsSnapshot
from pycloud.transport.paging import batched

#: Seconds between two health reads, and timeout of one in seconds: in sum below the 2 s in which an outage is shown.
HEALTH_INTERVAL, HEALTH_TIMEOUT = 0.5, 0.9
#: Timeout of a health read in seconds while Redis is down: connecting to a distant Redis takes several round trips.
CONNECT_TIMEOUT = 3.0
#: Seconds that one poll waits for events.
EVENT_TIMEOUT = 0.5
#: Seconds between two reads of the session ids, and between two reads of all records, because events can be missed.
#: The pause is at least IDLE_RATIO times the duration of the read.
REFRESH_INTERVAL, FULL_REFRESH_INTERVAL, IDLE_RATIO = 2.0, 60.0, 30
#: Seconds to wait for each thread at the end; one that still waits for an unresponsive Redis does no harm.
JOIN_TIMEOUT = 0.1

OnEvents = Callable[[Sequence[EventRecord]], None]


class LiveState:
    """``health`` and ``sessions``: the latest snapshots. The threads run, and use the client, within a ``with`` block.

    ``read_error``: why sessions and events cannot be read at present, though Redis may respond; usually empty. The
    threads call each of ``on_change`` after a new snapshot, and each of ``on_events`` with new events; these callbacks
    must not block.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.health, self.sessions, self.read_error = Health(), SessionsSnapshot(), ""
        self.on_change: list[Callable[[], None]] = []
        self.on_events: list[OnEvents] = []
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run_loop, args=steps, name=f"feed-{name}", daemon=True)
            for name, steps in (
                ("pulse", (self._refresh_health, self._on_health_error)),
                ("news", (EventReader(client, self).step, self._on_read_error)),
            )
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT)

    def notify_changed(self) -> None:
        """Call all of ``on_change``."""
        for listener in tuple(self.on_change):
            listener()

    def _run_loop(self, step: Callable[[], float], on_error: Callable[[str], None]) -> None:
        while not self._stopping.is_set():
            try:
                pause = step()
            except Exception as error:
                # An outage of Redis, or a bug. Neither ends the thread: the error is shown, and the step is retried.
                pause = HEALTH_INTERVAL
                if not self._stopping.is_set():
                    on_error(error_message(error))
                    self.notify_changed()
            self._stopping.wait(pause)

    def _refresh_health(self) -> float:
        snapshot = self.client.health(timeout=HEALTH_TIMEOUT if self.health.up else CONNECT_TIMEOUT)
        self.health = self.health.after_snapshot(snapshot, time.monotonic())
        self.notify_changed()
        return HEALTH_INTERVAL

    def _on_health_error(self, error: str) -> None:
        self.health = self.health.after_outage(error, time.monotonic())

    def _on_read_error(self, error: str) -> None:
        self.read_error = error


class EventReader:
    """Follows events and reads the records of their sessions; resyncs periodically, because events can be missed."""

    def __init__(self, client: Client, live_state: LiveState) -> None:
        self._client, self._live_state, self._cache = client, live_state, SessionCache()
        self._follower: EventFollower | None = None
        self._next_refresh_at = self._next_full_refresh_at = 0.0

    def step(self) -> float:
        """Poll once; returns the seconds to pause before the next call. Raises RedisUnavailable."""
        try:
            if self._follower is None:
                self._follower = self._client.event_follower()
            events = self._follower.poll(time.monotonic() + EVENT_TIMEOUT) if self._live_state.sessions.complete else []
        except PyCloudError:
            self._next_full_refresh_at = 0.0  # events may be missed until the next poll
            raise
        if events:
            for listener in tuple(self._live_state.on_events):
                listener(events)
        self._read({event.session for event in events if event.session})
        now = time.monotonic()
        if now >= self._next_refresh_at:
            self._refresh(full=now >= self._next_full_refresh_at)
        self._live_state.read_error = ""
        return 0.0

    def _refresh(self, *, full: bool) -> None:
        started_at = time.monotonic()
        ids = list(self._client.session_ids())
        before = len(self._live_state.sessions.records)
        new = self._cache.sync_ids(ids)
        self._read(ids if full else new)
        now = time.monotonic()
        self._next_refresh_at = now + max(REFRESH_INTERVAL, IDLE_RATIO * (now - started_at))
        if full:
            self._next_full_refresh_at = now + max(FULL_REFRESH_INTERVAL, IDLE_RATIO * (now - started_at))
            self._cache.mark_complete()
        if full or new or before != len(ids):
            self._publish()

    def _read(self, sessions: Collection[str]) -> None:
        for page in batched(sessions, PAGE_SIZE):
            try:
                self._cache.update(page, self._client.records(page))
            except UnusableAnswer:
                continue  # a record that no node has written; `list` reports it
            self._publish()

    def _publish(self) -> None:
        self._live_state.sessions = self._cache.snapshot()
        self._live_state.notify_changed()
