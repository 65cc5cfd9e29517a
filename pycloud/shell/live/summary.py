"""How Redis and the clouds are, in one line of as many columns as there are. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import Sessions
from pycloud.shell.terminal.output import printable

#: The least that is shown of where Redis is.
LEAST = 12


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
    draining = sum(rank.draining and rank.id not in health.pulse.silent for rank in health.pulse.clouds)
    up = len(health.pulse.clouds) - silent
    words = [f"{up} up", f"{draining} draining" if draining else "", f"{silent} silent" if silent else ""]
    return ", ".join(word for word in words if word) if up or silent else "none"


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
