"""``inspect``: prints all details of a session."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from pycloud.client.errors import NoCloud, NotFound
from pycloud.client.records import inspection_from_record
from pycloud.client.request import require_known
from pycloud.protocol.messages import InspectResponse, encode
from pycloud.shell.base.context import Context
from pycloud.shell.base.lookup import find_session, not_found
from pycloud.shell.terminal.exit_codes import ExitCode
from pycloud.shell.terminal.output import STALE_NOTE, address, age, duration, format_size, printable

#: Fields that are shown under other names, in another form, or not at all.
HIDDEN_FIELDS = frozenset({"id", "status", "host", "port", "stale", "figures", "details", "time", "trouble"})
TIME_FIELDS = frozenset({"created", "started", "ended", "kept_since"})
SIZE_FIELDS = frozenset({"log_bytes", "log_kept", "memory_limit"})
LABEL_WIDTH = 14


def inspect(context: Context, args: Namespace) -> int:
    """Print the details of a session from its node, or its record while the node is offline."""
    printer, session = context.printer, find_session(context.client, args.session)
    raw, response = _fetch(context, session)
    if printer.mode == "json":
        printer.line(raw)
    elif printer.mode == "ids":
        printer.line(session)
    else:
        for name, value in inspect_lines(response, time.time()):
            printer.line(f"{name + ':':<{LABEL_WIDTH}} {printable(value)}")
    return ExitCode.DONE


def _fetch(context: Context, session: str) -> tuple[bytes, InspectResponse]:
    try:
        answer = context.client.request("inspect", {"session": session}, timeout=context.timeout)
    except NoCloud as error:
        response = inspection_from_record(session, context.client.records([session]), error)
        return encode(response), response
    response = msgspec.convert(answer.raise_for_error().response, InspectResponse)
    try:
        return answer.raw, require_known(response)
    except NotFound:
        raise not_found(session) from None


def inspect_lines(response: InspectResponse, now: float) -> Iterator[tuple[str, str]]:
    """Names and values for display. ``now``: Unix seconds. Details that a newer node adds are shown unchanged."""
    fields: dict[str, Any] = msgspec.to_builtins(response)
    yield "session", response.id
    yield "address", address(response.host or "", response.port or None)
    yield from _field_lines({name: value for name, value in fields.items() if name not in HIDDEN_FIELDS}, now)
    yield from _usage_lines(fields.get("figures"))
    yield from _field_lines(fields.get("details", {}), now)
    if response.stale is True:
        yield "note", STALE_NOTE
    if response.trouble:
        yield "trouble", response.trouble


def _usage_lines(figures: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if figures:
        uptime = figures["uptime"]
        yield "uptime", "-" if uptime is None else age(uptime)
        yield "cpu", f"{figures['cpu_percent']:.1f} % of one processor, {duration(figures['cpu_seconds'])} in total"
        yield "memory", format_size(figures["memory"])
        yield "processes", str(figures["processes"])


def _field_lines(fields: Mapping[str, Any], now: float) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if value is not None:
            yield "node" if name == "cloud" else name.replace("_", " "), _format_value(name, value, now)


def _format_value(name: str, value: Any, now: float) -> str:
    if name in TIME_FIELDS and isinstance(value, int | float):
        return f"{datetime.fromtimestamp(value).isoformat(' ', 'seconds')} ({age(now - value)} ago)"
    if name in SIZE_FIELDS and isinstance(value, int):
        return format_size(value)
    kinds: dict[type, Callable[[Any], str]] = {
        bool: lambda flag: "yes" if flag else "no",
        list: lambda words: " ".join(map(str, words)),
        dict: lambda pairs: ", ".join(f"{key}={each}" for key, each in pairs.items()),
    }
    return kinds.get(type(value), str)(value)
