"""Tells above the prompt what happens, while it waits for a line, without spoiling what stands in it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Sequence

from prompt_toolkit.application import Application, run_in_terminal

from pycloud.protocol.messages import Event
from pycloud.shell.prompt.desk import NotificationQueue, events_summary


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
