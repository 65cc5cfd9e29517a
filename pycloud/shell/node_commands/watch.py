"""``watch``: switches the printing of events above the prompt."""

from __future__ import annotations

from argparse import Namespace

from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import ExitCode, UsageError


def watch(context: Context, args: Namespace) -> int:
    """Switch it on or off, and print its state. Raises UsageError outside of the prompt."""
    prompt_state = context.prompt_state
    if prompt_state is None:
        raise UsageError("watch works only at the prompt; elsewhere, use `events -f`")
    if args.switch is not None:
        prompt_state.shows_events = args.switch == "on"
    context.printer.notice(f"Event notifications are {'on' if prompt_state.shows_events else 'off'}.")
    return ExitCode.DONE
