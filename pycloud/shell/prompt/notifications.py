"""Events above the prompt: which are printed one by one, which are summed up, and when.

``NotificationQueue`` decides, without I/O; ``NotificationPrinter`` prints what it hands out.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from prompt_toolkit.application import Application, run_in_terminal

from pycloud.protocol.messages import Event

#: As many are told one by one; more at once are summed up in a line.
MAX_INDIVIDUAL = 5
#: Seconds between two times that something is told: a burst becomes few lines.
MIN_INTERVAL = 1.0
#: Seconds after a command's end in which what it did itself is still being heard of.
OWN_EVENT_WINDOW = 2.0
#: What a cloud says when ``drain`` or ``undrain`` has told it to.
DRAIN_EVENTS = ("cloud.draining", "cloud.up")
#: As many are remembered between two times; of the others only the number is known.
MAX_QUEUED = 200


@dataclass
class NotificationQueue:
    """Takes events in, and hands lines out. ``touched``: the sessions and clouds that the commands here were about."""

    _queued: list[Event] = field(default_factory=list)
    _overflow: Counter[str] = field(default_factory=Counter)
    _taken_at: float = float("-inf")
    _suppressed_until: dict[str, float] = field(default_factory=dict)

    def add(self, events: Sequence[Event]) -> None:
        """Something happened, here or elsewhere."""
        for event in events:
            if len(self._queued) < MAX_QUEUED:
                self._queued.append(event)
            else:
                self._overflow[event.event] += 1

    def suppress_own(self, own_changes: Collection[str], now: float) -> None:
        """A command here is over; it was about these sessions and clouds."""
        self._suppressed_until = {session: until for session, until in self._suppressed_until.items() if until > now}
        self._suppressed_until.update(dict.fromkeys(own_changes, now + OWN_EVENT_WINDOW))

    def seconds_until_due(self, now: float) -> float | None:
        """In how many seconds there is something to tell; None: there is nothing."""
        return max(0.0, self._taken_at + MIN_INTERVAL - now) if self._queued else None

    def clear(self) -> None:
        """Nobody wants to hear of what is waiting."""
        self._queued, self._overflow = [], Counter()

    def take(self, now: float) -> tuple[list[Event], Counter[str]]:
        """What is to be told one by one, and what is only to be summed up, by kind. Either may be empty."""
        events = [event for event in self._queued if self._suppressed_until.get(_subject_id(event), now) <= now]
        counted = self._overflow
        self.clear()
        if events or counted:
            self._taken_at = now
        if len(events) + sum(counted.values()) > MAX_INDIVIDUAL:
            return [], counted + Counter(event.event for event in events)
        return events, counted


def _subject_id(event: Event) -> str:
    """What a command must have been about to have brought this about: a session, or a cloud that was told to drain."""
    return event.session or (event.cloud if event.event in DRAIN_EVENTS else "")


def events_summary(counted: Counter[str]) -> str:
    """One line for many events, the most frequent kinds first."""
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in counted.most_common())
    return f"{sum(counted.values()):,} events: {kinds}. `events` tells them one by one"


class NotificationPrinter:
    """Takes events from the feed's thread, and tells them in the loop of ``app``, which is the prompt's.

    ``spell`` makes a line of an event, ``say`` writes lines. ``wanted`` says whether anybody wants to know.
    """

    def __init__(
        self,
        app: Application[str],
        enabled: Callable[[], bool],
        format_event: Callable[[Event], str],
        print_lines: Callable[[str], None],
    ) -> None:
        self._app, self._enabled, self._format_event, self._print_lines = app, enabled, format_event, print_lines
        self._queue, self._lock, self._timer_set = NotificationQueue(), threading.Lock(), False

    def on_events(self, events: Sequence[Event]) -> None:
        """Something happened. Called by the feed's thread."""
        with self._lock:
            self._queue.add(events)
        loop = self._app.loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the prompt ends just now, and with it its loop
                loop.call_soon_threadsafe(self.print_or_schedule)

    def suppress_own(self, own_changes: Collection[str]) -> None:
        """A command that was typed here is over: what it did to these sessions is no news."""
        with self._lock:
            self._queue.suppress_own(own_changes, time.monotonic())

    def print_or_schedule(self) -> None:
        """Tell what there is to tell, now or in a moment. Called in the prompt's loop, also when that begins."""
        with self._lock:
            if not self._enabled():
                self._queue.clear()
            due = self._queue.seconds_until_due(time.monotonic())
        if due is None or self._timer_set or self._app.loop is None:
            return
        if due:
            self._timer_set = True
            self._app.loop.call_later(due, self._on_timer)
            return
        if lines := self._take_lines():
            run_in_terminal(lambda: self._print_lines("\n".join(lines)))

    def on_prompt_start(self) -> None:
        """A new prompt: what was set for the last one went with its loop."""
        self._timer_set = False
        self.print_or_schedule()

    def _on_timer(self) -> None:
        self._timer_set = False
        self.print_or_schedule()

    def _take_lines(self) -> list[str]:
        with self._lock:
            events, counted = self._queue.take(time.monotonic())
        return [self._format_event(event) for event in events] + ([events_summary(counted)] if counted else [])
