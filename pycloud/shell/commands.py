"""The table of commands: add one by adding a row. Parsers, help and completion are made from it."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pycloud.image_script import KINDS
from pycloud.shell import actions
from pycloud.shell.context import Context
from pycloud.shell.exits import Exit


@dataclass(frozen=True)
class Argument:
    """One argument as argparse takes it: names or flags, and options."""

    names: tuple[str, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Command:
    """One row. ``details`` is shown below the summary in the command's own help."""

    name: str
    summary: str
    run: Callable[[Context, Namespace], Exit]
    arguments: tuple[Argument, ...] = ()
    details: str = ""
    prompt_only: bool = False


def argument(*names: str, **options: Any) -> Argument:
    """A row's argument."""
    return Argument(names, options)


def pair(text: str) -> tuple[str, str]:
    """``KEY=VALUE`` taken apart."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


_SESSIONS = argument("sessions", nargs="+", metavar="SESSION", help="a session's id, or the beginning of it")

COMMANDS: tuple[Command, ...] = (
    Command(
        "create",
        "start a script as a session",
        actions.create,
        (
            argument("file", nargs="?", metavar="FILE", help="the script; - reads it from standard input"),
            argument(
                "-e",
                "--env",
                action="append",
                type=pair,
                metavar="KEY=VALUE",
                help="set a variable in the session's environment; may be given several times",
            ),
            argument(
                "--where",
                action="append",
                type=pair,
                metavar="KEY=VALUE",
                help="a label that its cloud must have; may be given several times",
            ),
            argument("--cloud", metavar="CLOUD", help="the id of the cloud that shall take it (10 hex digits)"),
            argument("--runtime", choices=KINDS, help="what it shall be (default: what the script looks like)"),
            argument("--id", metavar="ID", help="name the request: the same again starts nothing new"),
        ),
        "Returns when the session runs. A script without a #! line is run by /bin/sh; one that is the name of an image "
        "and a JSON object below it becomes a container.",
    ),
    Command(
        "status",
        "tell what has become of sessions",
        actions.status,
        (_SESSIONS,),
        "Ends with 0 when every session named is alive, and with 3 otherwise.",
    ),
    Command(
        "remove",
        "end sessions and delete what is left of them",
        actions.remove,
        (_SESSIONS, argument("--id", metavar="ID", help="name the request, to repeat it; for one session only")),
        "Returns when they are gone, which may take as long as their cloud's stop_grace. Ends with 3 where there was "
        "nothing to remove.",
    ),
    Command("list", "list all sessions", actions.list_sessions, (), "Oldest first, as recorded in Redis."),
    Command(
        "logs",
        "print the newest output of a session",
        actions.logs,
        (argument("session", metavar="SESSION", help="the session's id, or the beginning of it"),),
        "The last 64 KiB, byte for byte, from the cloud that owns the session.",
    ),
    Command(
        "help",
        "show this, or the help of one command",
        actions.show_help,
        (argument("topic", nargs="?", metavar="COMMAND", help="the command to explain"),),
    ),
    Command("exit", "leave (Ctrl-D does, too)", actions.leave, prompt_only=True),
)
