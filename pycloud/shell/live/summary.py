"""The status line: state of Redis, nodes and sessions in one line of limited width. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import SessionsSnapshot
from pycloud.shell.terminal.output import printable

#: Minimum columns for the address of Redis; with less room it is left out.
MIN_ADDRESS_WIDTH = 12


def status_line(
    health: Health, sessions: SessionsSnapshot, redis_address: str, width: int, *, shows_events: bool = True
) -> str:
    """The most detailed variant that fits into ``width`` columns; if none does, the shortest one, truncated."""
    variant = ""
    for variant in _variants(health, sessions, printable(redis_address), width, shows_events):
        if len(variant) <= width:
            return variant
    return variant[: max(0, width - 1)] + "…"


def _variants(
    health: Health, sessions: SessionsSnapshot, redis_address: str, width: int, shows_events: bool
) -> Iterator[str]:
    state = {None: "?", True: "up", False: "DOWN"}[health.up]
    nodes, live = _node_counts(health), _session_counts(health, sessions)
    latency = format_round_trip(health.snapshot.round_trip) if health.up else ""
    events_off = "" if shows_events else "events off"

    def join_parts(*parts: str) -> str:
        return " " + " | ".join(part for part in parts if part) + " "

    full = (f"nodes {nodes}", f"sessions {live}", latency, events_off)
    yield join_parts(f"Redis {redis_address} {state}", *full)
    spare = width - len(join_parts(f"Redis  {state}", *full))
    if spare >= MIN_ADDRESS_WIDTH:
        yield join_parts(f"Redis {redis_address[: spare - 1]}… {state}", *full)
    yield join_parts(f"Redis {state}", *full)
    yield join_parts(f"Redis {state}", f"nodes {nodes}", f"sessions {live}")
    yield join_parts(f"Redis {state}", f"nodes {nodes.split(', ')[0]}", live.split(", ")[0])
    yield f"Redis {state}"


def _node_counts(health: Health) -> str:
    if not health.up:
        return "?"
    silent = len(health.snapshot.overdue)
    draining = sum(
        heartbeat.draining and heartbeat.id not in health.snapshot.overdue for heartbeat in health.snapshot.heartbeats
    )
    up = len(health.snapshot.heartbeats) - silent
    words = [f"{up} up", f"{draining} draining" if draining else "", f"{silent} silent" if silent else ""]
    return ", ".join(word for word in words if word) if up or silent else "none"


def _session_counts(health: Health, sessions: SessionsSnapshot) -> str:
    if not health.up or not sessions.complete:
        return "?"
    live_nodes = health.nodes
    live = sum(count for node, count in sessions.live_by_node.items() if node in live_nodes)
    stale = sum(sessions.live_by_node.values()) - live
    return f"{live:,} live, {stale:,} stale" if stale else f"{live:,} live"


def format_round_trip(seconds: float) -> str:
    """A round trip (in seconds) as text in ms, with one significant digit: more digits would change at each reading."""
    milliseconds = seconds * 1000
    return "<1 ms" if milliseconds < 1 else f"{float(f'{milliseconds:.1g}'):.0f} ms"
