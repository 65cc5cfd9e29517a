"""What ``top`` draws: a list of lines for a screen of a given size. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pycloud.client import SessionRecord
from pycloud.protocol.messages import Rank
from pycloud.protocol.session import State as Life
from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import Sessions
from pycloud.shell.live.summary import line_of
from pycloud.shell.terminal.output import STALE, address, age, note, printable
from pycloud.shell.top.state import State

Line = tuple[str, str]  # style, text

KEYS = "q leave, j k select, s sort, r turn, / filter, l log, x remove"
#: A load that fills the bar of a cloud without a capacity: as of a host that is quite busy, and nothing else.
FULL, BAR = 100.0, 16
#: Columns of a cloud's host: as many as leave room for what is wrong with it, on a screen of 80.
HOST = 20
#: The share of the screen that clouds may take, and a log.
CLOUDS_SHARE, LOG_SHARE = 4, 2
STYLES = {Life.RUNNING: "ansigreen", Life.STARTING: "ansiyellow", Life.FAILED: "ansired", Life.LOST: "ansired"}


@dataclass(frozen=True)
class Scene:
    """All that there is to draw. ``log``: lines of the selected session's output, the newest last."""

    state: State
    health: Health
    sessions: Sessions
    where: str
    now: float
    log: Sequence[str] = ()


@dataclass(frozen=True)
class Shares:
    """How many lines each part has."""

    clouds: int
    rows: int
    log: int


def shares(scene: Scene, height: int) -> Shares:
    """Of a screen with ``height`` lines: a line on top, one at the bottom and headings are always there."""
    clouds = min(len(_clouds(scene)), max(1, height // CLOUDS_SHARE))
    left = max(0, height - 2 - (1 + clouds) - 1)
    log = left // LOG_SHARE if scene.state.log else 0
    return Shares(clouds, left - log, log)


def draw(scene: Scene, width: int, height: int) -> list[Line]:
    """The lines, ``height`` of them, none wider than ``width``."""
    share = shares(scene, height)
    clouds = _clouds(scene)
    hidden = len(clouds) - share.clouds
    if hidden:
        clouds = [*clouds[: share.clouds - 1], ("", f"... and {hidden + 1} more clouds")]
    rows = _rows(scene, share.rows)
    lines: list[Line] = [
        _status(scene, width),
        ("bold", f"{'CLOUD':10}  {'HOST':{HOST}}  {'LOAD':{BAR + 9}}  SESSIONS"),
        *clouds,
        ("bold", _row(("SESSION", "STATE", "ADDRESS", "AGE", "NAME, NOTE"))),
        *rows,
        *[("", "")] * (share.rows - len(rows)),
        *_log(scene, share.log, width),
        _bottom(scene),
    ]
    return [(style, _fit(printable(text), width)) for style, text in lines[:height]]


def bar(load: float) -> str:
    """A load from 0 to 1 as a bar."""
    filled = round(max(0.0, min(load, 1.0)) * BAR)
    return "[" + "|" * filled + " " * (BAR - filled) + "]"


def share_of(rank: Rank, highest: float) -> float:
    """How full a cloud is: by its capacity, or else by its load against a full one, or the highest there is."""
    if rank.capacity:
        return rank.sessions / rank.capacity
    return rank.score / max(FULL, highest)


def _clouds(scene: Scene) -> list[Line]:
    health = scene.health
    highest = max((rank.score for rank in health.pulse.clouds), default=0.0)
    living: list[Line] = []
    for rank in health.pulse.clouds:
        silent = rank.id in health.pulse.silent
        notes = ["copied"] * rank.copied + ["silent"] * silent + ["deaf"] * rank.deaf
        notes += ["draining"] * (rank.draining and not rank.copied)
        room = f"{rank.sessions}/{rank.capacity}" if rank.capacity is not None else str(rank.sessions)
        text = f"{rank.id:10}  {rank.host:{HOST}.{HOST}}  {bar(share_of(rank, highest))} {rank.score:6.1f}  {room:>8}"
        living.append(("ansired" if silent else "", f"{text}  {', '.join(notes)}"))
    away = sorted(cloud for cloud, live in scene.sessions.live.items() if live and cloud not in health.clouds)
    gone: list[Line] = [("ansired", f"{cloud:10}  away; sessions: {scene.sessions.live[cloud]}") for cloud in away]
    return living + gone or [("", "none that lives")]


def _rows(scene: Scene, height: int) -> list[Line]:
    state = scene.state
    shown = state.table.rows[state.place.top : state.place.top + height]
    lines: list[Line] = []
    for record in shown:
        selected = "reverse" if record.id == state.place.session else ""
        style = STYLES.get(Life(record.state), "") if record.state in set(Life) else ""
        lines.append((f"{style} {selected}", _row(_cells(record, scene))))
    return lines


def _cells(record: SessionRecord, scene: Scene) -> tuple[str, ...]:
    created = record.created
    stale = STALE if record.status and record.cloud not in scene.health.clouds else ""
    words = [record.name or "", stale or note(record)]
    return (
        record.id,
        record.state or "unknown",
        address(record.host or "", record.port or None),
        age(scene.now - created) if isinstance(created, float) else "-",
        ", ".join(word for word in words if word),
    )


def _row(cells: Sequence[str]) -> str:
    session, state, where, old, rest = cells
    return f"{session:20.20}  {state:8.8}  {where:24.24}  {old:>5.5}  {rest}"


def _log(scene: Scene, height: int, width: int) -> list[Line]:
    if not height:
        return []
    title = f"--- log of {_called(scene, scene.state.place.session) or 'no session'} "
    newest = list(scene.log)[-(height - 1) :] if height > 1 else []
    body: list[Line] = [("", line) for line in newest]
    return [("bold", title.ljust(width, "-")), *body, *[("", "")] * (height - 1 - len(body))]


def _status(scene: Scene, width: int) -> Line:
    style = "reverse" if scene.health.up is not False else "reverse ansired"
    return style, line_of(scene.health, scene.sessions, scene.where, width).ljust(width)


def _bottom(scene: Scene) -> Line:
    state = scene.state
    if state.asked:
        return "bold", f"Remove {_called(scene, state.asked)}, ending what runs in it? y/n"
    if state.typing:
        return "bold", f"/{state.wish.text}_   (Enter keeps it, Esc takes it back)"
    if state.said:
        return "bold", state.said
    if scene.health.up is False:
        return "bold", f"{scene.health.trouble}; shown is what was known last"
    table, wish = state.table, state.table.wish
    shown = f"{len(table.rows):,} of {table.total:,}" if wish.text else f"{table.total:,}"
    upside = ", reversed" if wish.reverse else ""
    text = f", with {wish.text!r}" if wish.text else ""
    return "", f"{shown} by {wish.order}{upside}{text} | {KEYS}"


def _called(scene: Scene, session: str) -> str:
    """A session by its name, where it has any, and its id."""
    record = scene.sessions.records.get(session)
    return f"{record.name} ({session})" if record is not None and record.name else session


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
