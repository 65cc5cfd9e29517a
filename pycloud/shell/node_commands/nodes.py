"""``nodes``: lists the nodes with their state and load."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from pycloud.client.records import KnownNode
from pycloud.shell.base.context import Context
from pycloud.shell.base.flags import labels_of
from pycloud.shell.base.live_list import LiveList, follow
from pycloud.shell.terminal.exit_codes import ExitCode
from pycloud.shell.terminal.output import NO_NODES_MATCH, ColumnLayout, age, bar, layout

#: Heartbeat intervals without a heartbeat after which a node is stale: a short delay of one heartbeat is normal.
STALE_AFTER_HEARTBEATS = 2.0
UP, DRAINING, DEAF, COPIED, STALE, AWAY = "up", "draining", "deaf", "copied", "stale", "away"
NODE_COLOURS = {UP: "32", DRAINING: "33", STALE: "33", DEAF: "31", COPIED: "31", AWAY: "31"}
NODE_COLUMNS = ColumnLayout(
    ("NODE", "STATE", "HOST", "SESSIONS", "LOAD", "RUNTIMES", "LABELS", "VERSION", "SEEN"),
    always_shown=(0, 1),
    flexible=(6, 2),
    colour_column=1,
    colours=NODE_COLOURS,
    droppable=(7, 6, 5),
)
#: Columns of a full load bar; score of a fully loaded host. The bar is full at this score, or the highest if greater.
BAR_WIDTH, FULL_LOAD = 6, 100.0


class NodeRow(msgspec.Struct, frozen=True, omit_defaults=False):
    """One node, as in the JSON output (docs/pycloudctl.md). The fields unknown for an offline node are left out."""

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


def list_nodes(context: Context, args: Namespace) -> int:
    """List the nodes that have all labels in ``args``."""
    printer, wanted = context.printer, labels_of(args.label)
    if args.follow:
        return follow(context, _live_list(context, wanted))
    found = node_rows(context.client.known_nodes(), wanted)
    if printer.mode == "table":
        printer.table(table_cells(found), NODE_COLUMNS)
        if not found:
            printer.hint(NO_NODES_MATCH if wanted else "No nodes. Start pycloud with this Redis and this namespace.")
        return ExitCode.DONE
    for row in found:
        printer.line(row.id if printer.mode == "ids" else msgspec.json.encode(row))
    return ExitCode.DONE


def node_rows(known: Sequence[KnownNode], wanted: Mapping[str, str]) -> list[NodeRow]:
    """The nodes that have all labels ``wanted``. The labels of an offline node are unknown, so it matches no label."""
    rows = [node_row(node) for node in known]
    return [row for row in rows if all((row.labels or {}).get(name) == value for name, value in wanted.items())]


def node_row(node: KnownNode) -> NodeRow:
    """Convert a node for output."""
    heartbeat, common = node.heartbeat, (node.id, node_state(node), node.host)
    if heartbeat is None:
        return NodeRow(*common, node.sessions, node.seen, node.silent)
    return NodeRow(
        *common,
        heartbeat.sessions,
        node.seen,
        node.silent,
        capacity=heartbeat.capacity,
        score=heartbeat.score,
        runtimes=heartbeat.runtimes or (heartbeat.runtime,),
        unavailable=heartbeat.unavailable,
        labels=heartbeat.labels,
        draining=heartbeat.draining,
        version=heartbeat.version,
    )


def node_state(node: KnownNode) -> str:
    """The state of a node in one word; of several conditions, the most important."""
    heartbeat = node.heartbeat
    if heartbeat is None:
        return AWAY
    if heartbeat.copied:
        return COPIED
    if heartbeat.deaf:
        return DEAF
    if node.silent > STALE_AFTER_HEARTBEATS * heartbeat.heartbeat:
        return STALE
    return DRAINING if heartbeat.draining else UP


def table_cells(rows: Sequence[NodeRow]) -> list[tuple[str, ...]]:
    """The cells of the table, one row per node."""
    scores = [row.score for row in rows if isinstance(row.score, float)]
    full_load = max([FULL_LOAD, *scores])
    return [
        (
            row.id,
            row.state,
            row.host or "-",
            f"{row.sessions}/{row.capacity}" if row.capacity else str(row.sessions),
            f"{bar(row.score / full_load, BAR_WIDTH, '█', '·', '▌')} {row.score:.1f}"
            if isinstance(row.score, float)
            else "-",
            runtimes_cell(row),
            ",".join(f"{name}={value}" for name, value in sorted((row.labels or {}).items())),
            row.version or "",
            age(row.silent),
        )
        for row in rows
    ]


def runtimes_cell(row: NodeRow) -> str:
    """The runtimes of a node; in parentheses those of which no session can be started at present."""
    off = row.unavailable or ()
    return ",".join(f"({name})" if name in off else name for name in row.runtimes or ())


def _live_list(context: Context, wanted: Mapping[str, str]) -> LiveList[NodeRow]:
    def read(room: int | None) -> list[NodeRow]:
        return node_rows(context.client.known_nodes(), wanted)

    def render(rows: Sequence[NodeRow], width: int) -> list[str]:
        return list(layout(table_cells(rows), width, context.printer.colour, NODE_COLUMNS)) if rows else ["No nodes."]

    return LiveList(read, render, lambda row: row.id, msgspec.json.encode, change_key, _removed_line, interval=1.0)


def change_key(row: NodeRow) -> object:
    """The part of a row whose change is printed by ``-f``: not the load and the times, which change all the time."""
    return msgspec.structs.replace(row, seen=0.0, silent=0.0, score=UNSET)


def _removed_line(node: str) -> bytes:
    """The JSON line for a node that was forgotten, or does not match the labels any more."""
    return msgspec.json.encode({"id": node, "state": ""})
