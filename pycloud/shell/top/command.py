"""The command ``top``: checks the terminal and runs the screen."""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace

from pycloud.shell.base.context import Context
from pycloud.shell.live.feed import LiveState
from pycloud.shell.terminal.exit_codes import ExitCode, UsageError
from pycloud.shell.top.table import TableQuery


def top(context: Context, args: Namespace) -> int:
    """Show the screen until the user leaves it. Raises UsageError where the output is not a capable terminal."""
    printer = context.printer
    if printer.mode != "table":
        raise UsageError(f"top has no output for programs; use `{context.prefix}list -o {printer.mode}`")
    if not (printer.out.isatty() and sys.stdin is not None and sys.stdin.isatty()):
        raise UsageError(f"top needs a terminal; without one, use `{context.prefix}list`")
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        raise UsageError(f"top needs a terminal that can move its cursor: set TERM, or use `{context.prefix}list`")
    from pycloud.shell.top.screen import Screen  # loads prompt_toolkit

    printer.out.flush()
    with contextlib.ExitStack() as stack:
        prompt_state = context.prompt_state
        live_state = (
            prompt_state.live_state if prompt_state is not None else stack.enter_context(LiveState(context.client))
        )
        Screen(context.client, live_state, TableQuery(args.sort), colour=printer.colour).run()
    return ExitCode.DONE
