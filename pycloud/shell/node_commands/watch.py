"""``watch``: switches the printing of events above the prompt."""

from __future__ import annotations

from argparse import Namespace

from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import ExitCode, UsageError


def watch(context: Context, args: Namespace) -> int:
    """Switch it on or off, and print its state. Raises UsageError outside of the prompt."""
    prompt_state = context.prompt_state
    if prompt_state is None:
        raise UsageError("watch is for the prompt; elsewhere `events -f` tells what happens")
    if args.switch is not None:
        prompt_state.shows_events = args.switch == "on"
    state = "told above the prompt" if prompt_state.shows_events else "not told"
    context.printer.notice(f"What happens is {state}.")
    return ExitCode.DONE
