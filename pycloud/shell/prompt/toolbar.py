"""The line below the prompt: how Redis and the clouds are, in as many columns as there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from pycloud.shell.live.feed import Feed
from pycloud.shell.live.health import Health
from pycloud.shell.live.roll import Sessions
from pycloud.shell.render import printable

#: Seconds between two changes of the line, unless something is lost or back: a slow line has better things to carry.
SELDOM = 1.0
#: The least that is shown of where Redis is.
LEAST = 12


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


def line_of(health: Health, sessions: Sessions, where: str, width: int, *, watching: bool = True) -> str:
    """What the toolbar says; the first spelling that fits, or what fits of the last."""
    last = ""
    for last in _spellings(health, sessions, printable(where), width, watching):
        if len(last) <= width:
            return last
    return last[: max(0, width - 1)] + "…"


def _spellings(health: Health, sessions: Sessions, where: str, width: int, watching: bool) -> Iterator[str]:
    state = {None: "?", True: "up", False: "DOWN"}[health.up]
    clouds, live = _clouds(health), _sessions(health, sessions)
    took = round_trip(health.pulse.round_trip) if health.up else ""
    quiet = "" if watching else "events off"

    def spell(*parts: str) -> str:
        return " " + " | ".join(part for part in parts if part) + " "

    full = (f"clouds {clouds}", f"sessions {live}", took, quiet)
    yield spell(f"Redis {where} {state}", *full)
    spare = width - len(spell(f"Redis  {state}", *full))
    if spare >= LEAST:
        yield spell(f"Redis {where[: spare - 1]}… {state}", *full)
    yield spell(f"Redis {state}", *full)
    yield spell(f"Redis {state}", f"clouds {clouds}", f"sessions {live}")
    yield spell(f"Redis {state}", f"clouds {clouds.split(', ')[0]}", live.split(", ")[0])
    yield f"Redis {state}"


def _clouds(health: Health) -> str:
    if not health.up:
        return "?"
    silent = len(health.pulse.silent)
    up = len(health.pulse.clouds) - silent
    return f"{up} up, {silent} silent" if silent else f"{up} up" if up else "none"


def _sessions(health: Health, sessions: Sessions) -> str:
    if not health.up or not sessions.complete:
        return "?"
    living = health.clouds
    here = sum(count for cloud, count in sessions.live.items() if cloud in living)
    away = sum(sessions.live.values()) - here
    return f"{here:,} live, {away:,} away" if away else f"{here:,} live"


def round_trip(seconds: float) -> str:
    """How long Redis takes to answer, with one digit that counts: what changes all the time tells nobody anything."""
    milliseconds = seconds * 1000
    return "<1 ms" if milliseconds < 1 else f"{float(f'{milliseconds:.1g}'):.0f} ms"
