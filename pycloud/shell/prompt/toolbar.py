"""The line below the prompt: how Redis and the clouds are, in as many columns as there are."""

from __future__ import annotations

import time
from collections.abc import Callable

from pycloud.shell.live.feed import Feed
from pycloud.shell.live.session_cache import Sessions
from pycloud.shell.live.summary import line_of

#: Seconds between two changes of the line, unless something is lost or back: a slow line has better things to carry.
SELDOM = 1.0


class Toolbar:
    """Redraws when what it says has changed, and no more than once a second. ``watching``: events are told."""

    def __init__(self, feed: Feed, watching: Callable[[], bool], where: str, redraw: Callable[[], None]) -> None:
        self._feed, self._watching, self._where, self._redraw = feed, watching, where, redraw
        self._shown, self._up, self._width, self._drawn_at = "", feed.health.up, 0, 0.0
        feed.on_change.append(self.look)

    def text(self, width: int) -> str:
        """The line, at most ``width`` columns wide; asked for whenever the prompt is drawn."""
        self._shown, self._width, self._drawn_at = self._now(width), width, time.monotonic()
        return self._shown

    def look(self) -> None:
        """The feed has a new picture. Called by its threads."""
        if not self._width:
            return
        up = self._feed.health.up
        urgent, self._up = up != self._up, up
        late = time.monotonic() - self._drawn_at >= SELDOM
        if (urgent or late) and self._now(self._width) != self._shown:
            self._redraw()

    def _now(self, width: int) -> str:
        known = self._feed.sessions if not self._feed.deaf else Sessions()
        return line_of(self._feed.health, known, self._where, width, watching=self._watching())
