"""``watch``: whether the prompt tells what happens."""

from __future__ import annotations

from argparse import Namespace

from pycloud.shell.base.context import Context
from pycloud.shell.terminal.exit_codes import Exit, UsageProblem


def watch(context: Context, args: Namespace) -> int:
    """Switch it, or say how it is."""
    conversation = context.conversation
    if conversation is None:
        raise UsageProblem("watch is for the prompt; elsewhere `events -f` tells what happens")
    if args.switch is not None:
        conversation.watching = args.switch == "on"
    state = "told above the prompt" if conversation.watching else "not told"
    context.printer.say(f"What happens is {state}.")
    return Exit.DONE
