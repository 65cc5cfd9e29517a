"""The table of commands: add one by adding a row. Parsers, help and completion are made from it."""

from __future__ import annotations

import argparse
import time
from argparse import Namespace

from pycloud.client import DEFAULT_TIMEOUT, REMOVE_TIMEOUT
from pycloud.client.ask import LONGEST_TIMEOUT, checked_timeout
from pycloud.image_script import KINDS
from pycloud.sessions import State
from pycloud.shell import actions, later
from pycloud.shell.context import Context
from pycloud.shell.exits import Exit
from pycloud.shell.moments import moment
from pycloud.shell.render import MODES
from pycloud.shell.rows import Command, argument, count, pair

#: The states that a session may be listed in, and what a list may be sorted by.
STATES = tuple(State)
ORDERS = ("created", "state", "host", "cloud")


def seconds(text: str) -> float:
    """How long a request may take."""
    try:
        return checked_timeout(float(text))
    except ValueError:
        reason = f"{text!r} is no number of seconds above 0 and at most {LONGEST_TIMEOUT:.0f}"
        raise argparse.ArgumentTypeError(reason) from None


def since(text: str) -> float:
    """A point in time, as Unix seconds."""
    return moment(text, time.time())


#: Flags that say which clouds to talk to, taken before and after every command.
CONNECTION_FLAGS = (
    argument("--redis", metavar="URL", help="the Redis of the clouds (PYCLOUD_REDIS_URL)"),
    argument("--namespace", metavar="NAME", help="prefix of all channels and keys (PYCLOUD_NAMESPACE)"),
    argument("--config", metavar="FILE", kind="file", help="where to look for redis and namespace (PYCLOUD_CONFIG)"),
)
#: What else is taken everywhere.
COMMON_FLAGS = (
    argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help=f"how long a request may take (default: {DEFAULT_TIMEOUT:g}, remove: {REMOVE_TIMEOUT:g})",
    ),
    argument("-o", "--output", choices=MODES, help="table for people, json or bare ids for programs"),
    argument("--no-color", action="store_true", help="no colours; NO_COLOR and TERM=dumb say the same"),
)


def _completion(context: Context, args: Namespace) -> int:
    from pycloud.shell.completion import script  # only whoever sets up a shell needs it

    context.printer.raw(script(args.shell, COMMANDS, (*CONNECTION_FLAGS, *COMMON_FLAGS)).encode())
    return Exit.DONE


_SESSIONS = argument(
    "sessions", nargs="+", metavar="SESSION", help="a session's id, or the beginning of it", kind="session"
)

_SESSION = argument("session", metavar="SESSION", kind="session", help="the session's id, or the beginning of it")

COMMANDS: tuple[Command, ...] = (
    Command(
        "create",
        "start a script as a session",
        actions.create,
        (
            argument("file", nargs="?", metavar="FILE", kind="file", help="the script; - reads it from standard input"),
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
            argument(
                "--cloud", metavar="CLOUD", kind="cloud", help="the id of the cloud that shall take it (10 hex digits)"
            ),
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
    Command(
        "list",
        "list sessions",
        later.list_sessions,
        (
            argument("--cloud", action="append", metavar="CLOUD", kind="cloud", help="of this cloud; several add up"),
            argument(
                "--state", action="append", choices=STATES, metavar="STATE", help=f"{', '.join(STATES)}; several add up"
            ),
            argument("--sort", choices=ORDERS, default="created", help="by what (default: created, the oldest first)"),
            argument("--limit", type=count, metavar="N", help="at most so many"),
            argument("--skip", type=count, default=0, metavar="N", help="pass over so many first"),
        ),
        "As recorded in Redis. What is recorded of a session whose cloud is away is marked as stale.",
        aliases=("ps",),
    ),
    Command(
        "logs",
        "print the newest output of a session",
        actions.logs,
        (_SESSION,),
        "The last 64 KiB, byte for byte, from the cloud that owns the session.",
    ),
    Command(
        "wait",
        "wait for the end of a session",
        later.wait,
        (_SESSION,),
        "Its exit code becomes that of this command. Ends with 1 where it never ran or its code cannot be known, with "
        "3 where nobody knows it (any more: it was removed), and with 124 where it is lost (its cloud is away, and may "
        "come back), or --timeout is over; without that it waits for ever.",
    ),
    Command(
        "events",
        "tell what happened",
        later.events,
        (
            argument("-f", "--follow", action="store_true", help="go on with what happens, over restarts of Redis"),
            argument("--since", type=since, metavar="WHEN", help="from then on: 10m, 2h, 2026-01-31T18:00, ..."),
            argument(
                "-n", "--last", type=count, metavar="N", help="at most the newest N (default: 20, or all --since)"
            ),
        ),
        "Redis keeps about the newest 10,000. With -o json each is a line of JSON, as in docs/protocol.md.",
    ),
    Command(
        "doctor",
        "find out what is wrong, and what to do about it",
        later.doctor,
        (),
        "Looks at Redis, the clouds and its own settings, for some seconds, and changes nothing. Ends with 1 where "
        "there is a problem; a note is none.",
    ),
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
        (argument("shell", choices=("bash", "zsh", "fish"), help="the shell that it is for"),),
        "For bash: source <(pycloudctl completion bash). The script's first lines say where to put it for good.",
    ),
    Command(
        "help",
        "show this, or the help of one command",
        actions.show_help,
        (argument("topic", nargs="?", metavar="COMMAND", help="the command to explain"),),
    ),
    Command("exit", "leave (Ctrl-D does, too)", actions.leave, prompt_only=True),
)
