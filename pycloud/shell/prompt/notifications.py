"""Events above the prompt: which are printed individually, which are summarized, and when.

``NotificationQueue`` decides, without I/O; ``NotificationPrinter`` prints the result.
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

#: Maximum number of events printed individually at once; more are summarized in one line.
MAX_INDIVIDUAL = 5
#: Minimum seconds between two outputs, so that a burst of events becomes few lines.
MIN_INTERVAL = 1.0
#: Seconds after the end of a command in which its own events may still arrive.
OWN_EVENT_WINDOW = 2.0
#: Events of a node after ``drain`` and ``undrain``.
DRAIN_EVENTS = ("cloud.draining", "cloud.up")
#: Maximum number of events queued between two outputs; further ones are only counted.
MAX_QUEUED = 200


@dataclass
class NotificationQueue:
    """Collects events until the next output. Times are in monotonic seconds. Not thread-safe."""

    _queued: list[Event] = field(default_factory=list)
    _overflow: Counter[str] = field(default_factory=Counter)
    _taken_at: float = float("-inf")
    _suppressed_until: dict[str, float] = field(default_factory=dict)

    def add(self, events: Sequence[Event]) -> None:
        """Add events, whatever caused them."""
        for event in events:
            if len(self._queued) < MAX_QUEUED:
                self._queued.append(event)
            else:
                self._overflow[event.event] += 1

    def suppress_own(self, own_changes: Collection[str], now: float) -> None:
        """Suppress events of ids that a command typed here has changed, until ``OWN_EVENT_WINDOW`` after ``now``."""
        self._suppressed_until = {session: until for session, until in self._suppressed_until.items() if until > now}
        self._suppressed_until.update(dict.fromkeys(own_changes, now + OWN_EVENT_WINDOW))

    def seconds_until_due(self, now: float) -> float | None:
        """Seconds until the next output is due; None where no event is queued."""
        return max(0.0, self._taken_at + MIN_INTERVAL - now) if self._queued else None

    def clear(self) -> None:
        """Discard all queued events."""
        self._queued, self._overflow = [], Counter()

    def take(self, now: float) -> tuple[list[Event], Counter[str]]:
        """Remove all queued events; returns those to print individually, and the counts by kind to summarize."""
        events = [event for event in self._queued if self._suppressed_until.get(_subject_id(event), now) <= now]
        counted = self._overflow
        self.clear()
        if events or counted:
            self._taken_at = now
        if len(events) + sum(counted.values()) > MAX_INDIVIDUAL:
            return [], counted + Counter(event.event for event in events)
        return events, counted


def _subject_id(event: Event) -> str:
    """The id that a command which caused the event must have changed: the session, or the node for drain events."""
    return event.session or (event.cloud if event.event in DRAIN_EVENTS else "")


def events_summary(counted: Counter[str]) -> str:
    """One line for many events, the most frequent kinds first."""
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in counted.most_common())
    return f"{sum(counted.values()):,} events: {kinds}. `events` lists them"


class NotificationPrinter:
    """Receives events in a thread of ``LiveState``, and prints them in the event loop of ``app``, the prompt.

    ``enabled`` returns whether events are shown, ``format_event`` the line for an event; ``print_lines`` writes lines.
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
        """Queue events. Called by a thread of ``LiveState``."""
        with self._lock:
            self._queue.add(events)
        loop = self._app.loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile, because the prompt ends
                loop.call_soon_threadsafe(self.print_or_schedule)

    def suppress_own(self, own_changes: Collection[str]) -> None:
        """Suppress the events of sessions and nodes that a command typed here has changed."""
        with self._lock:
            self._queue.suppress_own(own_changes, time.monotonic())

    def print_or_schedule(self) -> None:
        """Print the queued events if due, or set a timer. Called in the event loop of the prompt, also at its start."""
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
        """Reset for a new prompt: the timer ended with the event loop of the previous one."""
        self._timer_set = False
        self.print_or_schedule()

    def _on_timer(self) -> None:
        self._timer_set = False
        self.print_or_schedule()

    def _take_lines(self) -> list[str]:
        with self._lock:
            events, counted = self._queue.take(time.monotonic())
        return [self._format_event(event) for event in events] + ([events_summary(counted)] if counted else [])
