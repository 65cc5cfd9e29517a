"""The toolbar below the prompt: state of Redis, nodes and sessions, in the width of the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

from pycloud.shell.live.feed import LiveState
from pycloud.shell.live.session_cache import SessionsSnapshot
from pycloud.shell.live.summary import status_line

#: Minimum seconds between two redraws, unless Redis is lost or back: saves the bandwidth of a slow connection.
MIN_REDRAW_INTERVAL = 1.0


class Toolbar:
    """Redraws when its text has changed, at most once a second. ``shows_events``: events are printed at the prompt."""

    def __init__(
        self, live_state: LiveState, shows_events: Callable[[], bool], redis_address: str, redraw: Callable[[], None]
    ) -> None:
        self._live_state, self._shows_events, self._redis_address, self._redraw = (
            live_state,
            shows_events,
            redis_address,
            redraw,
        )
        self._shown, self._up, self._width, self._drawn_at = "", live_state.health.up, 0, 0.0
        live_state.on_change.append(self.on_change)

    def text(self, width: int) -> str:
        """The toolbar in at most ``width`` columns. Called whenever the prompt is drawn."""
        self._shown, self._width, self._drawn_at = self._status_line(width), width, time.monotonic()
        return self._shown

    def on_change(self) -> None:
        """Redraw if the text has changed. Called by the threads of ``LiveState`` after a new snapshot."""
        if not self._width:
            return
        up = self._live_state.health.up
        redis_changed, self._up = up != self._up, up
        interval_over = time.monotonic() - self._drawn_at >= MIN_REDRAW_INTERVAL
        if (redis_changed or interval_over) and self._status_line(self._width) != self._shown:
            self._redraw()

    def _status_line(self, width: int) -> str:
        sessions = self._live_state.sessions if not self._live_state.read_error else SessionsSnapshot()
        return status_line(
            self._live_state.health, sessions, self._redis_address, width, shows_events=self._shows_events()
        )
