"""Renders ``top``: the lines for a screen of a given size. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pycloud.client import SessionRecord
from pycloud.protocol.messages import Heartbeat
from pycloud.protocol.session import State as Life
from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import SessionsSnapshot
from pycloud.shell.live.summary import status_line
from pycloud.shell.terminal.output import STALE_NOTE, address, age, bar, note, printable
from pycloud.shell.top.state import TopState

StyledLine = tuple[str, str]  # style, text

KEY_HELP = "q quit, j k select, s sort, r reverse, / filter, l log, x remove"
#: Score that fills the load bar of a node without a capacity (that of a busy host); columns of a full bar.
FULL_LOAD, BAR_WIDTH = 100.0, 16
#: Columns for the host of a node; on a screen of 80 columns this leaves room for the remarks.
HOST_WIDTH = 20
#: Divisors: nodes take at most 1/4 of the lines of the screen, a log 1/2 of the remaining ones.
NODES_DIVISOR, LOG_DIVISOR = 4, 2
#: Name of a sort order for display, where it differs from the value of ``--sort``.
ORDER_NAMES = {"cloud": "node"}
STATE_STYLES = {Life.RUNNING: "ansigreen", Life.STARTING: "ansiyellow", Life.FAILED: "ansired", Life.LOST: "ansired"}


@dataclass(frozen=True)
class Frame:
    """The data to draw. ``now``: Unix seconds. ``log``: lines of the selected session's output, the newest last."""

    state: TopState
    health: Health
    sessions: SessionsSnapshot
    redis_address: str
    now: float
    log: Sequence[str] = ()


@dataclass(frozen=True)
class SectionHeights:
    """Number of lines of each section; only ``log`` includes its heading."""

    nodes: int
    rows: int
    log: int


def section_heights(frame: Frame, height: int) -> SectionHeights:
    """The sections of a screen of ``height`` lines: status bar, bottom line and the two headings are always shown."""
    nodes = min(len(_node_lines(frame)), max(1, height // NODES_DIVISOR))
    remaining = max(0, height - 2 - (1 + nodes) - 1)
    log = remaining // LOG_DIVISOR if frame.state.log else 0
    return SectionHeights(nodes, remaining - log, log)


def draw(frame: Frame, width: int, height: int) -> list[StyledLine]:
    """The ``height`` lines of the screen, each at most ``width`` columns wide."""
    heights = section_heights(frame, height)
    nodes = _node_lines(frame)
    hidden = len(nodes) - heights.nodes
    if hidden:
        nodes = [*nodes[: heights.nodes - 1], ("", f"... and {hidden + 1} more nodes")]
    rows = _session_lines(frame, heights.rows)
    lines: list[StyledLine] = [
        _status_bar(frame, width),
        ("bold", f"{'NODE':10}  {'HOST':{HOST_WIDTH}}  {'LOAD':{BAR_WIDTH + 9}}  SESSIONS"),
        *nodes,
        ("bold", _format_row(("SESSION", "STATE", "ADDRESS", "AGE", "NAME, NOTE"))),
        *rows,
        *[("", "")] * (heights.rows - len(rows)),
        *_log_lines(frame, heights.log, width),
        _bottom_line(frame),
    ]
    return [(style, _fit(printable(text), width)) for style, text in lines[:height]]


def load_fraction(heartbeat: Heartbeat, highest: float) -> float:
    """The load of a node: sessions divided by capacity; without a capacity, its score divided by the greater of
    ``FULL_LOAD`` and ``highest``, the highest score of all nodes.
    """
    if heartbeat.capacity:
        return heartbeat.sessions / heartbeat.capacity
    return heartbeat.score / max(FULL_LOAD, highest)


def _node_lines(frame: Frame) -> list[StyledLine]:
    health = frame.health
    highest = max((heartbeat.score for heartbeat in health.snapshot.heartbeats), default=0.0)
    live_lines: list[StyledLine] = []
    for heartbeat in health.snapshot.heartbeats:
        silent = heartbeat.id in health.snapshot.overdue
        notes = ["copied"] * heartbeat.copied + ["silent"] * silent + ["deaf"] * heartbeat.deaf
        notes += ["draining"] * (heartbeat.draining and not heartbeat.copied)
        occupancy = (
            f"{heartbeat.sessions}/{heartbeat.capacity}" if heartbeat.capacity is not None else str(heartbeat.sessions)
        )
        load = f"[{bar(load_fraction(heartbeat, highest), BAR_WIDTH, '|', ' ')}] {heartbeat.score:6.1f}"
        text = f"{heartbeat.id:10}  {heartbeat.host:{HOST_WIDTH}.{HOST_WIDTH}}  {load}  {occupancy:>8}"
        live_lines.append(("ansired" if silent else "", f"{text}  {', '.join(notes)}"))
    away = sorted(node for node, live in frame.sessions.live_by_node.items() if live and node not in health.nodes)
    away_lines: list[StyledLine] = [
        ("ansired", f"{node:10}  offline; sessions: {frame.sessions.live_by_node[node]}") for node in away
    ]
    return live_lines + away_lines or [("", "no node is online")]


def _session_lines(frame: Frame, height: int) -> list[StyledLine]:
    state = frame.state
    shown = state.table.rows[state.selection.first_visible : state.selection.first_visible + height]
    lines: list[StyledLine] = []
    for record in shown:
        selected = "reverse" if record.id == state.selection.session else ""
        style = STATE_STYLES.get(Life(record.state), "") if record.state in set(Life) else ""
        lines.append((f"{style} {selected}", _format_row(_cells(record, frame))))
    return lines


def _cells(record: SessionRecord, frame: Frame) -> tuple[str, ...]:
    created = record.created
    stale = STALE_NOTE if record.status and record.cloud not in frame.health.nodes else ""
    words = [record.name or "", stale or note(record)]
    return (
        record.id,
        record.state or "unknown",
        address(record.host or "", record.port or None),
        age(frame.now - created) if isinstance(created, float) else "-",
        ", ".join(word for word in words if word),
    )


def _format_row(cells: Sequence[str]) -> str:
    session, state, address_text, age_text, rest = cells
    return f"{session:20.20}  {state:8.8}  {address_text:24.24}  {age_text:>5.5}  {rest}"


def _log_lines(frame: Frame, height: int, width: int) -> list[StyledLine]:
    if not height:
        return []
    title = f"--- log of {_name_and_id(frame, frame.state.selection.session) or 'no session'} "
    newest = list(frame.log)[-(height - 1) :] if height > 1 else []
    body: list[StyledLine] = [("", line) for line in newest]
    return [("bold", title.ljust(width, "-")), *body, *[("", "")] * (height - 1 - len(body))]


def _status_bar(frame: Frame, width: int) -> StyledLine:
    style = "reverse" if frame.health.up is not False else "reverse ansired"
    return style, status_line(frame.health, frame.sessions, frame.redis_address, width).ljust(width)


def _bottom_line(frame: Frame) -> StyledLine:
    state = frame.state
    if state.pending_removal:
        return "bold", f"Remove {_name_and_id(frame, state.pending_removal)} and end its processes? y/n"
    if state.editing_filter:
        return "bold", f"/{state.query.filter_text}_   (Enter applies it, Esc clears it)"
    if state.message:
        return "bold", state.message
    if frame.health.up is False:
        return "bold", f"{frame.health.error}; showing the last known state"
    table, query = state.table, state.table.query
    shown = f"{len(table.rows):,} of {table.total:,}" if query.filter_text else f"{table.total:,}"
    order_suffix = ", reversed" if query.reverse else ""
    filter_suffix = f", with {query.filter_text!r}" if query.filter_text else ""
    return "", f"{shown} by {ORDER_NAMES.get(query.order, query.order)}{order_suffix}{filter_suffix} | {KEY_HELP}"


def _name_and_id(frame: Frame, session: str) -> str:
    """The name (where it has one) and id of a session."""
    record = frame.sessions.records.get(session)
    return f"{record.name} ({session})" if record is not None and record.name else session


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
