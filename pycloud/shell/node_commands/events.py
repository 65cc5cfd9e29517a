"""``events``: prints events, one per line."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime

from pycloud.errors import RedisUnavailable
from pycloud.protocol.messages import Event
from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import ExitCode
from pycloud.shell.terminal.output import SHORT_ID_LENGTH, printable

#: Number of events shown where neither ``--last`` nor ``--since`` is given.
DEFAULT_LAST = 20
#: Widths of all columns but the last, for usual values: lines are printed before later values are known.
WIDTHS = (19, 16, 10, 20)
#: On a terminal with fewer columns the year is left out, to make room for an exit code.
WIDE_SCREEN, YEAR_WIDTH = 100, len("2026-")
HEADINGS = ("TIME", "EVENT", "CLOUD", "SESSION", "NOTE")
EVENT_COLOURS = {
    "session.running": "32",
    "session.starting": "33",
    "session.failed": "31",
    "session.lost": "31",
    "cloud.up": "32",
    "cloud.down": "31",
    "cloud.draining": "33",
}


def events(context: Context, args: Namespace) -> int:
    """Print past events, and with ``-f`` new ones as they come."""
    printer, last = context.printer, args.last
    if last is None and args.since is None:
        last = DEFAULT_LAST
    found = context.client.events(
        args.since, args.follow, last=last, on_loss=lambda error: _print_notice(context, error)
    )
    header_printed = False
    for event in found:
        if printer.mode == "json":
            printer.line(event.raw)
        elif printer.mode == "ids":
            if event.session:
                printer.line(event.session)
        else:
            if not header_printed:
                printer.line(_columns(HEADINGS, printer.width))
            header_printed = True
            printer.line(event_line(event, printer.width, printer.colour))
        if args.follow:
            printer.out.flush()
    return ExitCode.DONE


def event_line(event: Event, width: int | None, colour: bool) -> str:
    """An event as one line of at most ``width`` columns (None: no limit)."""
    try:
        when = datetime.fromtimestamp(event.time).isoformat(" ", "seconds")[_omitted_prefix(width) :]
    except (ValueError, OverflowError, OSError):
        when = "-"
    cells = (when, event.event, event.cloud, _session_cell(event), note(event))
    line = _columns(tuple(printable(cell) for cell in cells), width)
    if width is not None and len(line) > width:
        line = line[: width - 1] + "…"
    code = EVENT_COLOURS.get(event.event)
    return f"\x1b[{code}m{line}\x1b[0m" if colour and code else line


def _session_cell(event: Event) -> str:
    """The session's id; where it has a name, the beginning of the id and the name, so that both have room."""
    if event.session and event.name:
        return f"{event.session[:SHORT_ID_LENGTH]} {event.name}"
    return event.session or "-"


def note(event: Event) -> str:
    """Exit code, reason, image and progress of an event, as far as it has them."""
    code, done = event.exit_code, event.done
    share = f" ({done:.0%})" if isinstance(done, float) else ""
    words = [f"exit {code}" if isinstance(code, int) else "", event.reason or "", event.image or ""]
    progress = f"{event.progress}{share}" if event.progress else ""
    return ", ".join(word for word in (*words, progress) if word)


def _columns(cells: tuple[str, ...], width: int | None) -> str:
    widths = (WIDTHS[0] - _omitted_prefix(width), *WIDTHS[1:])
    return "  ".join((*(cell.ljust(room) for cell, room in zip(cells, widths, strict=False)), cells[-1])).rstrip()


def _omitted_prefix(width: int | None) -> int:
    """Number of characters left out at the beginning of the time, for a terminal of ``width`` columns."""
    return YEAR_WIDTH if width is not None and width < WIDE_SCREEN else 0


def _print_notice(context: Context, error: RedisUnavailable | None) -> None:
    """Report once that Redis is lost or back, so that the lack of events is not misunderstood."""
    context.printer.notice("Redis is back." if error is None else f"{error.message}; going on as soon as it is back.")
