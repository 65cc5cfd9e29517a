"""``list``: selects and sorts sessions. Reads only the records that are shown, where the order allows it."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec

from pycloud.client import SessionRecord
from pycloud.client.records import PAGE_SIZE
from pycloud.protocol.keys import NODE_ID_LENGTH
from pycloud.shell.base.context import Context
from pycloud.shell.base.flags import labels_of
from pycloud.shell.base.live_list import LiveList, follow
from pycloud.shell.base.lookup import find_nodes
from pycloud.shell.base.session_order import in_order
from pycloud.shell.terminal.exit_codes import ExitCode, UsageError
from pycloud.shell.terminal.output import NO_SESSIONS_MATCH, layout, session_row
from pycloud.transport.paging import batched


def list_sessions(context: Context, args: Namespace) -> int:
    """List the sessions on record in Redis that match ``args``. Raises UsageError for ``--limit 0``."""
    if args.limit == 0:
        raise UsageError("--limit 0 shows nothing: give a number of 1 or more")
    args.cloud = find_nodes(context.client, args.cloud or ())
    printer = context.printer
    if args.follow:
        return follow(context, _live_list(context, args))
    if printer.mode == "ids" and not _needs_records(args) and args.sort == "created" and not args.reverse:
        ids = context.client.session_ids(clouds=args.cloud)
        for session in islice(ids, args.skip, _slice_end(args)):
            printer.line(session)
        return ExitCode.DONE
    records, more = _select(context, args)
    if printer.mode == "ids":
        for record in records:
            printer.line(record.id)
    elif printer.mode == "json":
        for record in records:
            printer.line(msgspec.json.encode(record))
    else:
        now = time.time()
        rows = [session_row(record, now) for record in records]
        printer.table(rows)
        _print_next_hint(context, args, len(rows), more)
    return ExitCode.DONE


def _select(context: Context, args: Namespace) -> tuple[Iterator[SessionRecord], int]:
    """The records to show, and the number of further ones after them."""
    client, nodes = context.client, args.cloud
    found = client.sessions(clouds=nodes, states=args.state or (), labels=labels_of(args.label), name=args.name)
    if args.limit is None and not args.skip and args.sort == "created" and not args.reverse:
        return found, 0
    if args.sort == "created" and not _needs_records(args):
        ids = list(client.session_ids(clouds=nodes))
        if args.reverse:
            ids.reverse()
        shown = ids[args.skip : _slice_end(args)]
        pages = (client.records(page) for page in batched(shown, PAGE_SIZE))
        return (record for page in pages for record in page), _remaining(len(ids), args, len(shown))
    records = in_order(list(found), args.sort)
    if args.reverse:
        records.reverse()
    chosen = records[args.skip : _slice_end(args)]
    return iter(chosen), _remaining(len(records), args, len(chosen))


def _live_list(context: Context, args: Namespace) -> LiveList[SessionRecord]:
    """The list for ``-f``. On a terminal, only as many records are selected as fit below the headings."""
    more = 0

    def read(room: int | None) -> list[SessionRecord]:
        nonlocal more
        rows = None if room is None else max(1, room - 2)
        limit = min((count for count in (args.limit, rows) if count is not None), default=None)
        records, more = _select(context, Namespace(**{**vars(args), "limit": limit}))
        return list(records)

    def render(records: Sequence[SessionRecord], width: int) -> list[str]:
        now = time.time()
        table = layout([session_row(record, now) for record in records], width, context.printer.colour)
        return [*(table if records else ["No sessions."]), *([f"{more} more"] if more else [])]

    return session_live_list(read, render)


def follow_sessions(context: Context, sessions: Sequence[str]) -> ExitCode:
    """``status -f``: show the records of these sessions and their changes."""

    def read(room: int | None) -> list[SessionRecord]:
        return [record for page in batched(sessions, PAGE_SIZE) for record in context.client.records(page)]

    def render(records: Sequence[SessionRecord], width: int) -> list[str]:
        now = time.time()
        known = {record.id: session_row(record, now) for record in records}
        gone = {session: (session, "", "unknown", "-", "-", "not on record") for session in sessions}
        return list(layout([*({**gone, **known}).values()], width, context.printer.colour))

    return follow(context, session_live_list(read, render))


def session_live_list(
    read: Callable[[int | None], list[SessionRecord]], render: Callable[[Sequence[SessionRecord], int], list[str]]
) -> LiveList[SessionRecord]:
    """A LiveList of session records, however they are selected."""
    return LiveList(read, render, lambda record: record.id, msgspec.json.encode, lambda record: record, _removed_line)


def _removed_line(session: str) -> bytes:
    """The JSON line for a session that is not on record any more, or does not match the selection any more."""
    return msgspec.json.encode(SessionRecord(session[-NODE_ID_LENGTH:], session, status=False, state=""))


def _needs_records(args: Namespace) -> bool:
    """Whether the selection depends on the records, and not only on the ids."""
    return bool(args.state or args.label) or args.name is not None


def _slice_end(args: Namespace) -> int | None:
    return None if args.limit is None else int(args.skip + args.limit)


def _remaining(known: int, args: Namespace, shown: int) -> int:
    return max(0, known - int(args.skip) - shown)


def _print_next_hint(context: Context, args: Namespace, shown: int, more: int) -> None:
    if more:
        context.printer.hint(f"{more} more. Next: repeat with --skip {args.skip + shown}")
    elif not shown:
        filtered = args.cloud or args.skip or _needs_records(args)
        hint = NO_SESSIONS_MATCH if filtered else f"No sessions. Next: {context.prefix}create FILE"
        context.printer.hint(hint)
