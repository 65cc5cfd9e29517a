"""Tells above the prompt what happens, while it waits for a line, without spoiling what stands in it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Sequence

from prompt_toolkit.application import Application, run_in_terminal

from pycloud.protocol.messages import Event
from pycloud.shell.prompt.desk import Desk, summary


class Above:
    """Takes events from the feed's thread, and tells them in the loop of ``app``, which is the prompt's.

    ``spell`` makes a line of an event, ``say`` writes lines. ``wanted`` says whether anybody wants to know.
    """

    def __init__(
        self,
        app: Application[str],
        wanted: Callable[[], bool],
        spell: Callable[[Event], str],
        say: Callable[[str], None],
    ) -> None:
        self._app, self._wanted, self._spell, self._say = app, wanted, spell, say
        self._desk, self._lock, self._set = Desk(), threading.Lock(), False

    def heard(self, events: Sequence[Event]) -> None:
        """Something happened. Called by the feed's thread."""
        with self._lock:
            self._desk.heard(events)
        loop = self._app.loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the prompt ends just now, and with it its loop
                loop.call_soon_threadsafe(self.look)

    def done(self, touched: Collection[str]) -> None:
        """A command that was typed here is over: what it did to these sessions is no news."""
        with self._lock:
            self._desk.done(touched, time.monotonic())

    def look(self) -> None:
        """Tell what there is to tell, now or in a moment. Called in the prompt's loop, also when that begins."""
        with self._lock:
            if not self._wanted():
                self._desk.forget()
            due = self._desk.due(time.monotonic())
        if due is None or self._set or self._app.loop is None:
            return
        if due:
            self._set = True
            self._app.loop.call_later(due, self._again)
            return
        if lines := self._lines():
            run_in_terminal(lambda: self._say("\n".join(lines)))

    def begin(self) -> None:
        """A new prompt: what was set for the last one went with its loop."""
        self._set = False
        self.look()

    def _again(self) -> None:
        self._set = False
        self.look()

    def _lines(self) -> list[str]:
        with self._lock:
            events, counted = self._desk.tell(time.monotonic())
        return [self._spell(event) for event in events] + ([summary(counted)] if counted else [])
