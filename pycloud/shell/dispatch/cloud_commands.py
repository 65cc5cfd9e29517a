"""Rows of the table of commands: what is done with clouds."""

from __future__ import annotations

from pycloud.shell.base.command import Command, argument, key_value, non_negative_int
from pycloud.shell.base.flags import SORT_ORDERS, since
from pycloud.shell.dispatch import later

_NODES_ARGUMENT = argument(
    "clouds", nargs="+", metavar="CLOUD", kind="cloud", help="a cloud's id or host, or the beginning of either"
)

NODE_COMMANDS: tuple[Command, ...] = (
    Command(
        "clouds",
        "list the clouds",
        later.clouds,
        (
            argument(
                "--label",
                action="append",
                type=key_value,
                metavar="KEY=VALUE",
                help="only with this label; may be given several times",
            ),
            argument("-f", "--follow", action="store_true", help="go on with what happens, over restarts of Redis"),
        ),
        "Those that were heard of in the last week. They are up, draining (take nothing new), deaf (do not hear what "
        "is published), copied (another daemon uses the same id), stale (silent for longer than usual) or away. LOAD "
        "is the score that clouds are chosen by, lower being better. With -f the table is drawn anew on a terminal; "
        "elsewhere, and with -o json, each cloud that is new or has changed is a line of JSON (docs/pycloudctl.md).",
    ),
    Command(
        "drain",
        "let clouds take nothing new",
        later.drain,
        (_NODES_ARGUMENT, argument("--wait", action="store_true", help="until no session lives there any more")),
        "What runs there goes on. A cloud remembers it over restarts of its daemon, until undrain. With --wait it ends "
        "with 1 where a cloud takes sessions again meanwhile, and with 124 when --timeout is over.",
    ),
    Command(
        "undrain",
        "let clouds take sessions again",
        later.undrain,
        (_NODES_ARGUMENT,),
        "Counts more than the setting `draining` of their daemons, too.",
    ),
    Command(
        "events",
        "tell what happened",
        later.events,
        (
            argument("-f", "--follow", action="store_true", help="go on with what happens, over restarts of Redis"),
            argument("--since", type=since, metavar="WHEN", help="from then on: 10m, 2h, 2026-01-31T18:00, ..."),
            argument(
                "-n",
                "--last",
                type=non_negative_int,
                metavar="N",
                help="at most the newest N (default: 20, or all --since)",
            ),
        ),
        "Redis keeps about the newest 10,000. With -o json each is a line of JSON, as in docs/protocol.md.",
    ),
    Command(
        "top",
        "watch clouds and sessions on the whole screen",
        later.top,
        (argument("--sort", choices=SORT_ORDERS, default="created", help="by what to begin with (default: created)"),),
        "Keys: arrows, j, k, page keys, g and G select; s sorts by something else, r turns it round; / filters; l "
        "shows the log of the selected session; x removes it, after a question; q, Esc or Ctrl-C leaves.",
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
