"""``clouds``: which there are, how they are, and how loaded."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from pycloud.client.clouds import KnownCloud
from pycloud.shell.base.context import Context
from pycloud.shell.base.flags import labels_of
from pycloud.shell.base.live_list import Feed, follow
from pycloud.shell.terminal.exit_codes import Exit
from pycloud.shell.terminal.output import Shape, age, layout

#: A cloud that was silent for so many heartbeats is late: two may miss each other a little.
LATE = 2.0
UP, DRAINING, DEAF, COPIED, STALE, AWAY = "up", "draining", "deaf", "copied", "stale", "away"
COLOURS = {UP: "32", DRAINING: "33", STALE: "33", DEAF: "31", COPIED: "31", AWAY: "31"}
TABLE = Shape(
    ("CLOUD", "STATE", "HOST", "SESSIONS", "LOAD", "RUNTIMES", "LABELS", "VERSION", "SEEN"),
    always=(0, 1),
    flexible=(6, 2),
    coloured=1,
    colours=COLOURS,
    spare=(7, 6, 5),
)
#: How wide the bar of the most loaded is, and the load that fills it at least: that of a host with nothing to spare.
BAR, FULL = 6, 100.0


class CloudRow(msgspec.Struct, frozen=True, omit_defaults=False):
    """One cloud, as programs get it (docs/pycloudctl.md). What is not known of one that is away is left out."""

    id: str
    state: str
    host: str
    sessions: int
    seen: float
    silent: float
    capacity: int | UnsetType | None = UNSET
    score: float | UnsetType = UNSET
    runtimes: tuple[str, ...] | UnsetType = UNSET
    unavailable: tuple[str, ...] | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    draining: bool | UnsetType = UNSET
    version: str | UnsetType = UNSET


def clouds(context: Context, args: Namespace) -> int:
    """List the clouds that ``args`` asks for."""
    printer, wanted = context.printer, labels_of(args.label)
    if args.follow:
        return follow(context, _feed(context, wanted))
    found = rows_of(context.client.known_clouds(), wanted)
    if printer.mode == "table":
        printer.table(cells(found), TABLE)
        if not found:
            printer.hint(
                "No such clouds." if wanted else "No clouds. Start pycloud with this Redis and this namespace."
            )
        return Exit.DONE
    for row in found:
        printer.line(row.id if printer.mode == "ids" else msgspec.json.encode(row))
    return Exit.DONE


def rows_of(known: Sequence[KnownCloud], wanted: Mapping[str, str]) -> list[CloudRow]:
    """Those that have all labels ``wanted``; of one that is away nobody knows its labels."""
    rows = [row_of(cloud) for cloud in known]
    return [row for row in rows if all((row.labels or {}).get(name) == value for name, value in wanted.items())]


def row_of(cloud: KnownCloud) -> CloudRow:
    """One cloud, as programs get it."""
    rank, common = cloud.rank, (cloud.id, state_of(cloud), cloud.host)
    if rank is None:
        return CloudRow(*common, cloud.sessions, cloud.seen, cloud.silent)
    return CloudRow(
        *common,
        rank.sessions,
        cloud.seen,
        cloud.silent,
        capacity=rank.capacity,
        score=rank.score,
        runtimes=rank.runtimes or (rank.runtime,),
        unavailable=rank.unavailable,
        labels=rank.labels,
        draining=rank.draining,
        version=rank.version,
    )


def state_of(cloud: KnownCloud) -> str:
    """In one word, what matters most."""
    rank = cloud.rank
    if rank is None:
        return AWAY
    if rank.copied:
        return COPIED
    if rank.deaf:
        return DEAF
    if cloud.silent > LATE * rank.heartbeat:
        return STALE
    return DRAINING if rank.draining else UP


def cells(rows: Sequence[CloudRow]) -> list[tuple[str, ...]]:
    """The lines of the table."""
    scores = [row.score for row in rows if isinstance(row.score, float)]
    full = max([FULL, *scores])
    return [
        (
            row.id,
            row.state,
            row.host or "-",
            f"{row.sessions}/{row.capacity}" if row.capacity else str(row.sessions),
            f"{bar(row.score / full)} {row.score:.1f}" if isinstance(row.score, float) else "-",
            runtimes(row),
            ",".join(f"{name}={value}" for name, value in sorted((row.labels or {}).items())),
            row.version or "",
            age(row.silent),
        )
        for row in rows
    ]


def runtimes(row: CloudRow) -> str:
    """What runs there; in parentheses what cannot be started at present."""
    off = row.unavailable or ()
    return ",".join(f"({name})" if name in off else name for name in row.runtimes or ())


def bar(share: float) -> str:
    """A bar for a share from 0 to 1, to half a column."""
    halves = round(min(1.0, max(0.0, share)) * BAR * 2)
    return ("█" * (halves // 2) + "▌" * (halves % 2)).ljust(BAR, "·")


def _feed(context: Context, wanted: Mapping[str, str]) -> Feed[CloudRow]:
    def look(room: int | None) -> list[CloudRow]:
        return rows_of(context.client.known_clouds(), wanted)

    def lines(rows: Sequence[CloudRow], width: int) -> list[str]:
        return list(layout(cells(rows), width, context.printer.colour, TABLE)) if rows else ["No clouds."]

    return Feed(look, lines, lambda row: row.id, msgspec.json.encode, telling, _gone, every=1.0)


def telling(row: CloudRow) -> object:
    """What of it is worth a line when it changes: not its load, which always does."""
    return msgspec.structs.replace(row, seen=0.0, silent=0.0, score=UNSET)


def _gone(cloud: str) -> bytes:
    """What is said of one that is forgotten, or no longer what was asked for."""
    return msgspec.json.encode({"id": cloud, "state": ""})
