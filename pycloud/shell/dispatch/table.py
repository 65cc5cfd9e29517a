"""The table of commands: add one by adding a row, here or in a group. Parsers, help and completion are made from it."""

from __future__ import annotations

from argparse import Namespace

from pycloud.shell.base.command import Command, argument
from pycloud.shell.base.context import Context
from pycloud.shell.base.flags import COMMON_FLAGS, CONNECTION_FLAGS
from pycloud.shell.dispatch import cloud_commands, later, session_commands
from pycloud.shell.session_commands import sessions
from pycloud.shell.terminal.exit_codes import EXIT_CODE_MEANINGS, ExitCode


def _completion(context: Context, args: Namespace) -> int:
    from pycloud.shell.dispatch.shell_completion import (  # only whoever sets up a shell needs it
        WORD_SOURCES,
        completion_script,
    )

    if args.shell in WORD_SOURCES:
        for word in WORD_SOURCES[args.shell](context.client):
            context.printer.line(word)
        return ExitCode.DONE
    context.printer.raw(completion_script(args.shell, COMMANDS, (*CONNECTION_FLAGS, *COMMON_FLAGS)).encode())
    return ExitCode.DONE


def _man(context: Context, args: Namespace) -> int:
    import pycloud
    from pycloud.shell.dispatch.manpage import manual_page

    common = (*CONNECTION_FLAGS, *COMMON_FLAGS)
    context.printer.raw(manual_page(COMMANDS, common, version=pycloud.__version__, codes=EXIT_CODE_MEANINGS).encode())
    return ExitCode.DONE


#: What pycloudctl says of itself.
_SHELL_COMMANDS: tuple[Command, ...] = (
    Command(
        "config",
        "show the settings, and where each came from",
        later.config,
        (argument("what", choices=("show",), help="what to do with them"),),
        "A flag counts more than a variable, and that more than a file. Passwords are hidden.",
    ),
    Command(
        "completion",
        "print a script that completes what you type",
        _completion,
        (argument("shell", choices=("bash", "zsh", "fish", "sessions", "clouds"), help="the shell that it is for"),),
        "For bash: source <(pycloudctl completion bash). The script's first lines say where to put it for good. For "
        "sessions and clouds: the words that name them, a line each; that is what the scripts ask for.",
    ),
    Command("man", "print the manual page", _man, details="To read it: pycloudctl man | man -l -"),
    Command(
        "help",
        "show this, or the help of one command",
        sessions.show_help,
        (argument("topic", nargs="?", metavar="COMMAND", help="the command to explain"),),
    ),
    Command(
        "watch",
        "tell what happens above the prompt, or do not",
        later.watch,
        (argument("switch", nargs="?", choices=("on", "off"), help="which; without it, say how it is"),),
        "It is on to begin with. What the commands typed here do themselves is not told again, and more than a few "
        "events at once are summed up.",
        prompt_only=True,
    ),
    Command("exit", "leave (Ctrl-D does, too)", sessions.exit_prompt, prompt_only=True),
)

COMMANDS: tuple[Command, ...] = (*session_commands.SESSION_COMMANDS, *cloud_commands.NODE_COMMANDS, *_SHELL_COMMANDS)
