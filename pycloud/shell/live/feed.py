"""Two threads that keep a picture of Redis, the clouds and the sessions, for whoever works at a terminal.

One takes the pulse; the other hears what happens, and reads what changed. Whoever looks takes the last picture, and
waits for nothing. Redis may go and come back; both go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Self

from pycloud.client import Client, UnusableAnswer
from pycloud.client.events import EventFollower, EventRecord
from pycloud.client.records import PAGE_SIZE, batched
from pycloud.errors import PyCloudError
from pycloud.shell.live.health import Health, error_message
from pycloud.shell.live.session_cache import SessionCache, SessionsSnapshot

#: Seconds between two pulses, and how long one may take: together they are less than the 2 s within which a loss shows.
HEALTH_INTERVAL, HEALTH_TIMEOUT = 0.5, 0.9
#: Seconds that one may take while Redis is not there: a far one needs several round trips to connect.
CONNECT_TIMEOUT = 3.0
#: Seconds that news is waited for at once.
EVENT_TIMEOUT = 0.5
#: Seconds between two looks at which sessions there are, and at all of them: events may be missing. Reading takes at
#: most the thirtieth part of the time.
REFRESH_INTERVAL, FULL_REFRESH_INTERVAL, IDLE_RATIO = 2.0, 60.0, 30
#: Seconds that the threads have to end; they do no harm while they still wait for a Redis that says nothing.
JOIN_TIMEOUT = 0.1

OnEvents = Callable[[Sequence[EventRecord]], None]


class LiveState:
    """``health`` and ``sessions`` are the last pictures. Runs within a ``with`` block, and uses the client there.

    ``deaf``: why sessions and events cannot be read at present, though Redis may answer; usually empty. The threads
    call ``on_change`` when a picture is new, and ``on_events`` with what happened; all of that must return at once.
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
        """Tell everybody that a picture is new."""
        for listener in tuple(self.on_change):
            listener()

    def _run_loop(self, step: Callable[[], float], on_error: Callable[[str], None]) -> None:
        while not self._stopping.is_set():
            try:
                pause = step()
            except Exception as error:
                # Redis is lost, or there is a bug. Neither ends a thread: it is shown, and the next step is tried.
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
    """Hears events, and reads the records that they are about; now and then it looks whether it has missed any."""

    def __init__(self, client: Client, live_state: LiveState) -> None:
        self._client, self._live_state, self._cache = client, live_state, SessionCache()
        self._follower: EventFollower | None = None
        self._next_refresh_at = self._next_full_refresh_at = 0.0

    def step(self) -> float:
        """Once; returns how many seconds to pause. Raises RedisUnavailable."""
        try:
            if self._follower is None:
                self._follower = self._client.event_follower()
            events = self._follower.poll(time.monotonic() + EVENT_TIMEOUT) if self._live_state.sessions.complete else []
        except PyCloudError:
            self._next_full_refresh_at = 0.0  # who knows what happens meanwhile
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
                continue  # somebody else wrote there; `list` says so
            self._publish()

    def _publish(self) -> None:
        self._live_state.sessions = self._cache.snapshot()
        self._live_state.notify_changed()
