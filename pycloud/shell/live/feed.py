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
from pycloud.client.events import Follower, Told
from pycloud.client.records import PAGE, batched
from pycloud.errors import PyCloudError
from pycloud.shell.live.health import Health, trouble_of
from pycloud.shell.live.session_cache import Roll, Sessions

#: Seconds between two pulses, and how long one may take: together they are less than the 2 s within which a loss shows.
PERIOD, PATIENCE = 0.5, 0.9
#: Seconds that one may take while Redis is not there: a far one needs several round trips to connect.
PATIENCE_TO_CONNECT = 3.0
#: Seconds that news is waited for at once.
HEARING = 0.5
#: Seconds between two looks at which sessions there are, and at all of them: events may be missing. Reading takes at
#: most the thirtieth part of the time.
LOOK, LOOK_AT_ALL, SHARE = 2.0, 60.0, 30
#: Seconds that the threads have to end; they do no harm while they still wait for a Redis that says nothing.
FAREWELL = 0.1

OnEvents = Callable[[Sequence[Told]], None]


class Feed:
    """``health`` and ``sessions`` are the last pictures. Runs within a ``with`` block, and uses the client there.

    ``deaf``: why sessions and events cannot be read at present, though Redis may answer; usually empty. The threads
    call ``on_change`` when a picture is new, and ``on_events`` with what happened; all of that must return at once.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.health, self.sessions, self.deaf = Health(), Sessions(), ""
        self.on_change: list[Callable[[], None]] = []
        self.on_events: list[OnEvents] = []
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._for_ever, args=steps, name=f"feed-{name}", daemon=True)
            for name, steps in (
                ("pulse", (self._take_pulse, self._no_pulse)),
                ("news", (News(client, self).step, self._no_news)),
            )
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(FAREWELL)

    def changed(self) -> None:
        """Tell everybody that a picture is new."""
        for listener in tuple(self.on_change):
            listener()

    def _for_ever(self, step: Callable[[], float], failed: Callable[[str], None]) -> None:
        while not self._over.is_set():
            try:
                pause = step()
            except Exception as error:
                # Redis is lost, or there is a bug. Neither ends a thread: it is shown, and the next step is tried.
                pause = PERIOD
                if not self._over.is_set():
                    failed(trouble_of(error))
                    self.changed()
            self._over.wait(pause)

    def _take_pulse(self) -> float:
        pulse = self.client.pulse(timeout=PATIENCE if self.health.up else PATIENCE_TO_CONNECT)
        self.health = self.health.heard(pulse, time.monotonic())
        self.changed()
        return PERIOD

    def _no_pulse(self, trouble: str) -> None:
        self.health = self.health.lost(trouble, time.monotonic())

    def _no_news(self, trouble: str) -> None:
        self.deaf = trouble


class News:
    """Hears events, and reads the records that they are about; now and then it looks whether it has missed any."""

    def __init__(self, client: Client, feed: Feed) -> None:
        self._client, self._feed, self._roll = client, feed, Roll()
        self._follower: Follower | None = None
        self._look_at = self._look_at_all_at = 0.0

    def step(self) -> float:
        """Once; returns how many seconds to pause. Raises RedisUnavailable."""
        try:
            if self._follower is None:
                self._follower = self._client.follower()
            news = self._follower.hear(time.monotonic() + HEARING) if self._feed.sessions.complete else []
        except PyCloudError:
            self._look_at_all_at = 0.0  # who knows what happens meanwhile
            raise
        if news:
            for listener in tuple(self._feed.on_events):
                listener(news)
        self._read({event.session for event in news if event.session})
        now = time.monotonic()
        if now >= self._look_at:
            self._look(everything=now >= self._look_at_all_at)
        self._feed.deaf = ""
        return 0.0

    def _look(self, *, everything: bool) -> None:
        began = time.monotonic()
        ids = list(self._client.session_ids())
        before = len(self._feed.sessions.records)
        new = self._roll.keep(ids)
        self._read(ids if everything else new)
        now = time.monotonic()
        self._look_at = now + max(LOOK, SHARE * (now - began))
        if everything:
            self._look_at_all_at = now + max(LOOK_AT_ALL, SHARE * (now - began))
            self._roll.completed()
        if everything or new or before != len(ids):
            self._publish()

    def _read(self, sessions: Collection[str]) -> None:
        for page in batched(sessions, PAGE):
            try:
                self._roll.put(page, self._client.records(page))
            except UnusableAnswer:
                continue  # somebody else wrote there; `list` says so
            self._publish()

    def _publish(self) -> None:
        self._feed.sessions = self._roll.picture()
        self._feed.changed()
