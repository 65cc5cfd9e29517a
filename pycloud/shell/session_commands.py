"""Rows of the table of commands: what is done with sessions."""

from __future__ import annotations

from pycloud.image_script import KINDS
from pycloud.sessions import State
from pycloud.shell import actions, later
from pycloud.shell.rows import Command, argument, count, pair

#: The states that a session may be listed in, and what a list may be sorted by.
STATES = tuple(State)
ORDERS = ("created", "state", "host", "cloud")

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
)
