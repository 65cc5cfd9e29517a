"""``events``: prints events, one per line."""

from __future__ import annotations

from argparse import Namespace

from pycloud.shell.base.context import Context
from pycloud.shell.base.event_line import event_line, headings_line
from pycloud.shell.terminal.exit_codes import ExitCode

#: Number of events shown where neither ``--last`` nor ``--since`` is given.
DEFAULT_LAST = 20


def events(context: Context, args: Namespace) -> int:
    """Print past events, and with ``-f`` new ones as they come."""
    printer, last = context.printer, args.last
    if last is None and args.since is None:
        last = DEFAULT_LAST
    found = context.client.events(args.since, args.follow, last=last, on_loss=context.report_redis_loss)
    header_printed = False
    for event in found:
        if printer.mode == "json":
            printer.line(event.raw)
        elif printer.mode == "ids":
            if event.session:
                printer.line(event.session)
        else:
            if not header_printed:
                printer.line(headings_line(printer.width))
            header_printed = True
            printer.line(event_line(event, printer.width, printer.colour))
        if args.follow:
            printer.out.flush()
    return ExitCode.DONE
