"""Rows of the table of commands: what is done with clouds."""

from __future__ import annotations

from pycloud.shell import later
from pycloud.shell.flags import since
from pycloud.shell.rows import Command, argument, count

COMMANDS: tuple[Command, ...] = (
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
)
