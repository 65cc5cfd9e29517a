"""Commands about pycloudctl itself: help, completion scripts, the manual page, exit."""

from __future__ import annotations

from argparse import Namespace

import pycloud
from pycloud.shell.base.context import Context
from pycloud.shell.base.flags import COMMON_FLAGS, CONNECTION_FLAGS
from pycloud.shell.dispatch.table import COMMANDS
from pycloud.shell.terminal.exit_codes import EXIT_CODE_MEANINGS, ExitCode, ExitPrompt


def show_help(context: Context, args: Namespace) -> ExitCode:
    """Print the help for all commands, or for ``args.topic``."""
    context.printer.raw(context.help_text(args.topic).encode())
    return ExitCode.DONE


def exit_prompt(context: Context, args: Namespace) -> ExitCode:
    """Leave the prompt. Raises ExitPrompt."""
    raise ExitPrompt


def print_completion(context: Context, args: Namespace) -> int:
    """Print a completion script, or the words that the script requests (sessions, nodes)."""
    from pycloud.shell.dispatch.shell_completion import (  # only needed for shell completion
        WORD_SOURCES,
        completion_script,
    )

    if args.shell in WORD_SOURCES:
        for word in WORD_SOURCES[args.shell](context.client):
            context.printer.line(word)
        return ExitCode.DONE
    context.printer.raw(completion_script(args.shell, COMMANDS, (*CONNECTION_FLAGS, *COMMON_FLAGS)).encode())
    return ExitCode.DONE


def print_manual(context: Context, args: Namespace) -> int:
    """Print the manual page as groff source."""
    from pycloud.shell.dispatch.manpage import manual_page

    common = (*CONNECTION_FLAGS, *COMMON_FLAGS)
    context.printer.raw(manual_page(COMMANDS, common, version=pycloud.__version__, codes=EXIT_CODE_MEANINGS).encode())
    return ExitCode.DONE
