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
    "sessions", nargs="+", metavar="SESSION", help="a session's id, the beginning of it, or its name", kind="session"
)

_NODE_FLAG = argument(
    "--cloud", action="append", metavar="CLOUD", kind="cloud", help="of this cloud, by its id or host; several add up"
)

_SESSION_ARGUMENT = argument(
    "session", metavar="SESSION", kind="session", help="the session's id, the beginning of it, or its name"
)


def _label_flag(text: str) -> Argument:
    return argument("--label", action="append", type=key_value, metavar="KEY=VALUE", help=text)


_FOLLOW_FLAG = argument("-f", "--follow", action="store_true", help="go on with what happens, over restarts of Redis")
_FOLLOW_DETAILS = (
    "With -f, what is on record is drawn anew on a terminal whenever it changes; elsewhere, and with -o json, each "
    "session that is new or has changed is a line of JSON (-o ids: its id), with an empty state where it is gone. "
    "Until Ctrl-C, which ends it with 130, or --timeout."
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
                help="the script; - reads it from standard input, none opens an editor (prompt)",
            ),
            argument(
                "-e",
                "--env",
                action="append",
                type=key_value,
                metavar="KEY=VALUE",
                help="set a variable in the session's environment; may be given several times",
            ),
            argument(
                "--where",
                action="append",
                type=key_value,
                metavar="KEY=VALUE",
                help="a label that its cloud must have; may be given several times",
            ),
            argument(
                "--cloud",
                metavar="CLOUD",
                kind="cloud",
                help="the cloud that shall take it: its id or host, or the beginning of either",
            ),
            argument("--name", metavar="NAME", help="what it is called: no other session that lives may be"),
            _label_flag("a label to find it by; may be given several times"),
            argument(
                "--runtime",
                choices=OpenChoices(RUNTIME_NAMES),
                metavar="RUNTIME",
                help="what it shall be: script, docker or a plugin of its cloud (default: what the script looks like)",
            ),
            argument("--id", metavar="ID", help="name the request: the same again starts nothing new"),
            argument("--follow", action="store_true", help="go on into its output, until it ends"),
            argument(
                "--count", type=positive_int, default=1, metavar="N", help="start so many, up to 32 of them at once"
            ),
        ),
        "Returns when the session runs. A script without a #! line is run by /bin/sh; one that is the name of an image "
        "and a JSON object below it becomes a container. With --count, ids and lines of JSON come in the order in "
        "which the sessions run, and the worst exit code counts. With --follow its output alone goes to standard "
        "output (-o json and ids: behind the answer); Ctrl-C ends that, never the session.",
    ),
    Command(
        "status",
        "tell what has become of sessions",
        "session_commands.sessions:status",
        (_SESSIONS_ARGUMENT, _FOLLOW_FLAG),
        f"Ends with 0 when every session named is alive, and with 3 otherwise. {_FOLLOW_DETAILS}",
    ),
    Command(
        "remove",
        "end sessions and delete what is left of them",
        "session_commands.remove:remove",
        (
            argument(
                *_SESSIONS_ARGUMENT.names, kind=_SESSIONS_ARGUMENT.kind, **{**_SESSIONS_ARGUMENT.options, "nargs": "*"}
            ),
            argument("--all", action="store_true", help="all that there are, ended ones included"),
            _label_flag("those with this label; with several, those that have them all"),
            _NODE_FLAG,
            argument("-y", "--yes", action="store_true", help="do not ask before several are removed"),
            argument("--id", metavar="ID", help="name the request, to repeat it; for one session only"),
        ),
        "Returns when they are gone, which may take as long as their cloud's stop_grace. Asks where that is more than "
        "one; where there is no terminal to ask at, it ends with 2 unless --yes is given, and with 1 where the answer "
        "is no. Ends with 3 where one that is named is not there.",
    ),
    Command(
        "list",
        "list sessions",
        "session_commands.list:list_sessions",
        (
            _NODE_FLAG,
            argument(
                "--state", action="append", choices=STATES, metavar="STATE", help=f"{', '.join(STATES)}; several add up"
            ),
            _label_flag("with this label; with several, those that have them all"),
            argument("--name", metavar="PATTERN", help="whose name matches, as in web-*"),
            argument(
                "--sort", choices=SORT_ORDERS, default="created", help="by what (default: created, the oldest first)"
            ),
            argument("--reverse", action="store_true", help="the other way round, e.g. the newest first"),
            argument("--limit", type=non_negative_int, metavar="N", help="at most so many"),
            argument("--skip", type=non_negative_int, default=0, metavar="N", help="pass over so many first"),
            _FOLLOW_FLAG,
        ),
        "As recorded in Redis. What is recorded of a session whose cloud is away is marked as stale. "
        + _FOLLOW_DETAILS,
        aliases=("ps",),
    ),
    Command(
        "inspect",
        "tell all that is known of a session",
        "session_commands.inspect:inspect",
        (_SESSION_ARGUMENT,),
        "What it is, and what it uses just now: CPU time, memory, processes. Its cloud is asked; where that is away, "
        "what is on record is shown, marked as stale. With -o json as in docs/protocol.md.",
    ),
    Command(
        "logs",
        "print the output of a session, and follow it",
        "session_commands.sessions:logs",
        (
            _SESSION_ARGUMENT,
            argument("-f", "--follow", action="store_true", help="go on with what it writes, until it ends"),
            argument("-n", "--lines", type=line_count, metavar="N", help="begin with the newest N lines, or `all`"),
            argument("--since", type=since, metavar="WHEN", help="from then on: 10m, 2h, ...; containers only"),
        ),
        "Byte for byte, from the cloud that owns the session; without -n or --since the last 64 KiB. -f goes on over "
        "restarts of Redis and of the cloud; what is lost because the session writes faster than it can be read is "
        "said. Ctrl-C stops the following, never the session. With -o json and one of these flags each piece is a line "
        "of JSON, as in docs/protocol.md.",
    ),
    Command(
        "wait",
        "wait for the end of a session",
        "session_commands.wait:wait",
        (_SESSION_ARGUMENT,),
        "Its exit code becomes that of this command. Ends with 1 where it never ran or its code cannot be known, with "
        "3 where nobody knows it (any more: it was removed), and with 124 where it is lost (its cloud is away, and may "
        "come back), or --timeout is over; without that it waits for ever.",
    ),
)


_NODES_ARGUMENT = argument(
    "clouds", nargs="+", metavar="CLOUD", kind="cloud", help="a cloud's id or host, or the beginning of either"
)

NODE_COMMANDS: tuple[Command, ...] = (
    Command(
        "clouds",
        "list the clouds",
        "node_commands.nodes:clouds",
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
        "node_commands.drain:drain",
        (_NODES_ARGUMENT, argument("--wait", action="store_true", help="until no session lives there any more")),
        "What runs there goes on. A cloud remembers it over restarts of its daemon, until undrain. With --wait it ends "
        "with 1 where a cloud takes sessions again meanwhile, and with 124 when --timeout is over.",
    ),
    Command(
        "undrain",
        "let clouds take sessions again",
        "node_commands.drain:undrain",
        (_NODES_ARGUMENT,),
        "Counts more than the setting `draining` of their daemons, too.",
    ),
    Command(
        "events",
        "tell what happened",
        "node_commands.events:events",
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
        "top.command:top",
        (argument("--sort", choices=SORT_ORDERS, default="created", help="by what to begin with (default: created)"),),
        "Keys: arrows, j, k, page keys, g and G select; s sorts by something else, r turns it round; / filters; l "
        "shows the log of the selected session; x removes it, after a question; q, Esc or Ctrl-C leaves.",
    ),
    Command(
        "doctor",
        "find out what is wrong, and what to do about it",
        "node_commands.doctor:doctor",
        (),
        "Looks at Redis, the clouds and its own settings, for some seconds, and changes nothing. Ends with 1 where "
        "there is a problem; a note is none.",
    ),
)


#: Commands about pycloudctl itself.
_SHELL_COMMANDS: tuple[Command, ...] = (
    Command(
        "config",
        "show the settings, and where each came from",
        "node_commands.config:config",
        (argument("what", choices=("show",), help="what to do with them"),),
        "A flag counts more than a variable, and that more than a file. Passwords are hidden.",
    ),
    Command(
        "completion",
        "print a script that completes what you type",
        "dispatch.own_commands:print_completion",
        (argument("shell", choices=("bash", "zsh", "fish", "sessions", "clouds"), help="the shell that it is for"),),
        "For bash: source <(pycloudctl completion bash). The script's first lines say where to put it for good. For "
        "sessions and clouds: the words that name them, a line each; that is what the scripts ask for.",
    ),
    Command(
        "man",
        "print the manual page",
        "dispatch.own_commands:print_manual",
        details="To read it: pycloudctl man | man -l -",
    ),
    Command(
        "help",
        "show this, or the help of one command",
        "dispatch.own_commands:show_help",
        (argument("topic", nargs="?", metavar="COMMAND", help="the command to explain"),),
    ),
    Command(
        "watch",
        "tell what happens above the prompt, or do not",
        "node_commands.watch:watch",
        (argument("switch", nargs="?", choices=("on", "off"), help="which; without it, say how it is"),),
        "It is on to begin with. What the commands typed here do themselves is not told again, and more than a few "
        "events at once are summed up.",
        prompt_only=True,
    ),
    Command("exit", "leave (Ctrl-D does, too)", "dispatch.own_commands:exit_prompt", prompt_only=True),
)

COMMANDS: tuple[Command, ...] = (*SESSION_COMMANDS, *NODE_COMMANDS, *_SHELL_COMMANDS)
