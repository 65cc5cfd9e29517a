"""The table of commands: add a row to add a command. Parser, help, completion and manual page are generated from it.

A row gives its function as ``module:function`` relative to ``pycloud.shell``; the module is loaded when the command
runs.
"""

from __future__ import annotations

from pycloud.protocol.container_spec import RUNTIME_NAMES
from pycloud.protocol.session import State
from pycloud.shell.base.command import (
    Argument,
    Command,
    argument,
    key_value,
    line_count,
    non_negative_int,
    positive_int,
)
from pycloud.shell.base.flags import SORT_ORDERS, since


class OpenChoices(tuple[str, ...]):
    """Values that completion offers for an argument; any other value is permitted too."""

    def __contains__(self, value: object) -> bool:
        return True


#: Values of ``list --state``.
STATES = tuple(state.value for state in State)

_SESSIONS_ARGUMENT = argument(
    "sessions",
    nargs="+",
    metavar="SESSION",
    help="id of a session, the beginning of it, or its name",
    kind="session",
)

_NODE_FLAG = argument(
    "--cloud", action="append", metavar="NODE", kind="node", help="only sessions of this node (id or host); repeatable"
)

_SESSION_ARGUMENT = argument(
    "session", metavar="SESSION", kind="session", help="id of the session, the beginning of it, or its name"
)


def _label_flag(text: str) -> Argument:
    return argument("--label", action="append", type=key_value, metavar="KEY=VALUE", help=text)


_FOLLOW_FLAG = argument("-f", "--follow", action="store_true", help="show changes as they happen, until Ctrl-C")
_FOLLOW_DETAILS = (
    "With -f, a terminal shows the records in Redis and redraws them after each change. Otherwise, and with -o json, "
    "each new or changed session is a line of JSON (-o ids: its id), with an empty state if it was removed. Ends on "
    "Ctrl-C with exit code 130, or after --timeout. Continues after a restart of Redis."
)

SESSION_COMMANDS: tuple[Command, ...] = (
    Command(
        "create",
        "start a script as a session",
        "session_commands.sessions:create",
        (
            argument(
                "file",
                nargs="?",
                metavar="FILE",
                kind="file",
                help="file with the script; - reads standard input; without FILE, the prompt opens an editor",
            ),
            argument(
                "-e",
                "--env",
                action="append",
                type=key_value,
                metavar="KEY=VALUE",
                help="environment variable of the session; repeatable",
            ),
            argument(
                "--where",
                action="append",
                type=key_value,
                metavar="KEY=VALUE",
                help="label that the node must have; repeatable",
            ),
            argument(
                "--cloud",
                metavar="NODE",
                kind="node",
                help="node that must run the session: its id or host, or the beginning of either",
            ),
            argument("--name", metavar="NAME", help="name of the session, unique among live sessions"),
            _label_flag("label of the session; repeatable"),
            argument(
                "--runtime",
                choices=OpenChoices(RUNTIME_NAMES),
                metavar="RUNTIME",
                help="runtime: script, docker or a plugin of the node (default: depends on the script)",
            ),
            argument("--id", metavar="ID", help="id of the request; repeating it starts no second session"),
            argument("--follow", action="store_true", help="print the output of the session until it ends"),
            argument("--count", type=positive_int, default=1, metavar="N", help="start N sessions, up to 32 at a time"),
        ),
        "Returns when the session runs. /bin/sh runs a script without a #! line; an image name and a JSON object below "
        "it start a container. With --count, the sessions are printed in the order in which they start, and the worst "
        "exit code counts. With --follow, only the output of the session goes to standard output (-o json and ids: "
        "after the response); Ctrl-C ends the command, not the session.",
    ),
    Command(
        "status",
        "show the state of sessions",
        "session_commands.sessions:status",
        (_SESSIONS_ARGUMENT, _FOLLOW_FLAG),
        f"Exits with 0 if all given sessions are alive, otherwise with 3. {_FOLLOW_DETAILS}",
    ),
    Command(
        "remove",
        "end sessions and delete their data",
        "session_commands.remove:remove",
        (
            argument(
                *_SESSIONS_ARGUMENT.names, kind=_SESSIONS_ARGUMENT.kind, **{**_SESSIONS_ARGUMENT.options, "nargs": "*"}
            ),
            argument("--all", action="store_true", help="all sessions, including ended ones"),
            _label_flag("only sessions with this label; several labels must all match"),
            _NODE_FLAG,
            argument("-y", "--yes", action="store_true", help="do not ask before removing several sessions"),
            argument("--id", metavar="ID", help="id of the request, to repeat it safely; for one session only"),
        ),
        "Returns when the sessions have ended, which can take as long as the setting stop_grace of their node. Asks "
        "for confirmation before it removes more than one, and exits with 1 if the answer is no. Without a terminal to "
        "ask on, it exits with 2 unless --yes is given. Exits with 3 if a given session does not exist.",
    ),
    Command(
        "list",
        "list sessions",
        "session_commands.list:list_sessions",
        (
            _NODE_FLAG,
            argument(
                "--state", action="append", choices=STATES, metavar="STATE", help=f"{', '.join(STATES)}; repeatable"
            ),
            _label_flag("only sessions with this label; several labels must all match"),
            argument("--name", metavar="PATTERN", help="only sessions whose name matches, e.g. web-*"),
            argument(
                "--sort", choices=SORT_ORDERS, default="created", help="sort order (default: created, oldest first)"
            ),
            argument("--reverse", action="store_true", help="reverse the order, e.g. newest first"),
            argument("--limit", type=non_negative_int, metavar="N", help="show at most N sessions"),
            argument("--skip", type=non_negative_int, default=0, metavar="N", help="skip the first N sessions"),
            _FOLLOW_FLAG,
        ),
        "Shows the records in Redis. The record of a session whose node is offline is marked as stale. "
        + _FOLLOW_DETAILS,
        aliases=("ps",),
    ),
    Command(
        "inspect",
        "show the details of a session",
        "session_commands.inspect:inspect",
        (_SESSION_ARGUMENT,),
        "Shows its properties and its current use of CPU time, memory and processes, as its node reports them. If the "
        "node is offline, shows the record in Redis, marked as stale. For -o json see docs/protocol.md.",
    ),
    Command(
        "logs",
        "print the output of a session, and follow it",
        "session_commands.sessions:logs",
        (
            _SESSION_ARGUMENT,
            argument("-f", "--follow", action="store_true", help="follow the output until the session ends"),
            argument("-n", "--lines", type=line_count, metavar="N", help="begin with the newest N lines, or `all`"),
            argument("--since", type=since, metavar="WHEN", help="output since then: 10m, 2h, ...; containers only"),
        ),
        "Prints the output unchanged, from the node of the session; without -n or --since, the last 64 KiB. -f "
        "continues after restarts of Redis and of the node; a message reports output that is skipped because the "
        "session writes faster than it can be read. Ctrl-C ends the command, not the session. With -o json and one of "
        "these flags, each piece of output is a line of JSON (docs/protocol.md).",
    ),
    Command(
        "wait",
        "wait for the end of a session",
        "session_commands.wait:wait",
        (_SESSION_ARGUMENT,),
        "Exits with the exit code of the session; with 1 if the session never ran or its exit code is unknown, with 3 "
        "if there is no such session (it may have been removed), and with 124 if it is lost (its node is offline) or "
        "after --timeout. Without --timeout, there is no limit.",
    ),
)


_NODES_ARGUMENT = argument(
    "nodes", nargs="+", metavar="NODE", kind="node", help="id or host of a node, or the beginning of either"
)

NODE_COMMANDS: tuple[Command, ...] = (
    Command(
        "nodes",
        "list the nodes",
        "node_commands.nodes:list_nodes",
        (
            argument(
                "--label",
                action="append",
                type=key_value,
                metavar="KEY=VALUE",
                help="only nodes with this label; several labels must all match",
            ),
            _FOLLOW_FLAG,
        ),
        "Shows the nodes that were online in the last week. STATE is up, draining (accepts no new sessions), deaf "
        "(receives no messages from Redis), copied (another daemon uses the same id), stale (the heartbeat is overdue) "
        "or away (offline). LOAD is the score for placement: a new session goes to the node with the lowest one. With "
        "-f, a terminal shows the table and redraws it. Otherwise, and with -o json, each new or changed node is a "
        "line of JSON (docs/pycloudctl.md).",
        aliases=("clouds",),
    ),
    Command(
        "drain",
        "stop placing new sessions on nodes",
        "node_commands.drain:drain",
        (_NODES_ARGUMENT, argument("--wait", action="store_true", help="wait until no live session remains")),
        "Running sessions keep running. A node is draining until undrain, also after restarts of its daemon. With "
        "--wait, exits with 1 if a node is undrained meanwhile, and with 124 after --timeout.",
    ),
    Command(
        "undrain",
        "place new sessions on nodes again",
        "node_commands.drain:undrain",
        (_NODES_ARGUMENT,),
        "Overrides the setting `draining` of the daemon, too.",
    ),
    Command(
        "events",
        "show the events of nodes and sessions",
        "node_commands.events:events",
        (
            argument("-f", "--follow", action="store_true", help="show new events as they happen, until Ctrl-C"),
            argument("--since", type=since, metavar="WHEN", help="events since then: 10m, 2h, 2026-01-31T18:00, ..."),
            argument(
                "-n",
                "--last",
                type=non_negative_int,
                metavar="N",
                help="at most the newest N (default: 20; with --since, all)",
            ),
        ),
        "Redis keeps about the newest 10,000 events. With -o json, each event is a line of JSON (docs/protocol.md). -f "
        "continues after a restart of Redis.",
    ),
    Command(
        "top",
        "show nodes and sessions on the whole screen, live",
        "top.command:top",
        (argument("--sort", choices=SORT_ORDERS, default="created", help="initial sort order (default: created)"),),
        "Keys: arrows, j, k, page keys, g and G select; s changes the sort order, r reverses it; / filters; l shows "
        "the log of the selected session; x removes it, after confirmation; q, Esc or Ctrl-C quits.",
    ),
    Command(
        "doctor",
        "find problems and suggest solutions",
        "node_commands.doctor:doctor",
        (),
        "Checks Redis, the nodes and its own settings for a few seconds, and changes nothing. Exits with 1 if it finds "
        "a problem; notes do not count.",
    ),
)


#: Commands about pycloudctl itself.
_SHELL_COMMANDS: tuple[Command, ...] = (
    Command(
        "config",
        "show the settings and their sources",
        "node_commands.config:config",
        (argument("what", choices=("show",), help="print all settings"),),
        "A flag overrides an environment variable, and a variable overrides a file. Passwords are hidden.",
    ),
    Command(
        "completion",
        "print the completion script for a shell",
        "dispatch.own_commands:print_completion",
        (
            argument(
                "shell",
                choices=("bash", "zsh", "fish", "sessions", "nodes", "clouds"),
                help="the shell; sessions and nodes are for the scripts",
            ),
        ),
        "For bash: source <(pycloudctl completion bash). The first lines of a script describe its installation. "
        "With sessions or nodes, prints their ids and names, one per line, for the scripts. `clouds` means `nodes`.",
    ),
    Command(
        "man",
        "print the manual page",
        "dispatch.own_commands:print_manual",
        details="To read it: pycloudctl man | man -l -",
    ),
    Command(
        "help",
        "show the help for all commands, or for one",
        "dispatch.own_commands:show_help",
        (argument("topic", nargs="?", metavar="COMMAND", help="a command"),),
    ),
    Command(
        "watch",
        "turn event notifications at the prompt on or off",
        "node_commands.watch:watch",
        (argument("switch", nargs="?", choices=("on", "off"), help="on or off; without it, show the current setting"),),
        "Notifications are on at the start. Events that commands at this prompt cause are not shown, and many events "
        "at once are summarized in one line.",
        prompt_only=True,
    ),
    Command("exit", "leave the prompt, as Ctrl-D does", "dispatch.own_commands:exit_prompt", prompt_only=True),
)

COMMANDS: tuple[Command, ...] = (*SESSION_COMMANDS, *NODE_COMMANDS, *_SHELL_COMMANDS)
