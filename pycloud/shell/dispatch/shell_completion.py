"""Completion scripts for bash, zsh and fish, generated from the table of commands.

A script contains commands, flags and their choices; it reads the names of sessions and nodes from Redis, through
pycloudctl.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from pycloud.client import Client
from pycloud.shell.base.command import Argument, Command
from pycloud.shell.dispatch.parser import PROGRAM

#: Command that prints ids and names of a kind, one word per line. The short timeout limits the delay in the terminal.
WORD_COMMANDS = {
    "session": f"{PROGRAM} --timeout 1 completion sessions",
    "node": f"{PROGRAM} --timeout 1 completion nodes",
}
HELP_COMMAND = "help"
#: Flags that argparse adds to every command.
BUILT_IN = ("-h", "--help")


#: Words between @ are placeholders. compgen expands the words in its argument, so words read from Redis, which may have
#: been written by others, are never passed to it.
BASH_TEMPLATE = """\
# Completion of pycloudctl for bash: source it, or put it as pycloudctl into a directory of bash-completion.
_pycloudctl_offer() {
    local word
    while read -r word; do
        [[ $word == "$1"* && $word != *[!0-9A-Za-z_.-]* ]] && COMPREPLY+=("$word")
    done
}
_pycloudctl() {
    local word=$2 previous=$3 command= flags index IFS=$' \\t\\n'
    COMPREPLY=()
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
        @VALUED@) ((index++)) ;;
        -*) ;;
        *) command=${COMP_WORDS[index]}; break ;;
        esac
    done
    case $previous in
@VALUES@
    esac
    if [[ -z $command ]]; then
        flags="@BEFORE@"
        [[ $word == -* ]] || flags="@COMMANDS@"
        COMPREPLY=($(compgen -W "$flags" -- "$word"))
        return
    fi
    if [[ $word == -* ]]; then
        case $command in
@FLAGS@
        esac
        COMPREPLY=($(compgen -W "$flags" -- "$word"))
        return
    fi
    case $command in
@PLACES@
    esac
}
complete -F _pycloudctl pycloudctl
"""


def completion_script(shell: str, commands: Sequence[Command], common: Sequence[Argument]) -> str:
    """The script for ``shell``, which is one of ``SHELLS``. ``common``: the flags of every command."""
    rows = [row for row in commands if not row.prompt_only]
    return SHELLS[shell](rows, common)


def session_words(client: Client) -> Iterator[str]:
    """Ids and names of all sessions, without duplicates. Raises RedisUnavailable."""
    known = list(client.session_names())
    yield from dict.fromkeys([*(session for session, _name in known), *(name for _session, name in known if name)])


def node_words(client: Client) -> Iterator[str]:
    """Ids and known hosts of all nodes, without duplicates. Raises RedisUnavailable."""
    known = client.known_nodes()
    yield from dict.fromkeys([*(node.id for node in known), *(node.host for node in known if node.host)])


def bash(rows: Sequence[Command], common: Sequence[Argument]) -> str:
    """The script for bash 4 and later."""
    options = [item for row in rows for item in row.arguments if item.is_flag]
    values = "\n".join(
        f"        {'|'.join(item.names)}) {_bash_value(item)}; return ;;"
        for item in _distinct([*common, *options])
        if item.takes_value
    )
    valued = "|".join(name for item in common if item.takes_value for name in item.names)
    flags = "\n".join(f'        {"|".join(_names(row))}) flags="{_join_words(_flags(row, common))}" ;;' for row in rows)
    positionals = "\n".join(
        f"        {'|'.join(_names(row))}) {_bash_value(item)} ;;" for row in rows if (item := _positional(row, rows))
    )
    replacements = {
        "@VALUED@": valued,
        "@VALUES@": values,
        "@FLAGS@": flags,
        "@PLACES@": positionals,
        "@BEFORE@": _join_words(_flag_names(common, "--version")),
        "@COMMANDS@": _join_words([name for row in rows for name in _names(row)]),
    }
    return re.sub("|".join(replacements), lambda found: replacements[found[0]], BASH_TEMPLATE)


def zsh(rows: Sequence[Command], common: Sequence[Argument]) -> str:
    """The script for zsh with its completion system (compinit)."""
    cases = "\n".join(
        f"            {'|'.join(_names(row))}) _arguments $common {_zsh_row(row, rows)} ;;" for row in rows
    )
    names = " ".join(_quoted(f"{name}:{row.summary}") for row in rows for name in _names(row))
    version = "'--version[show the version]'"
    return f"""\
#compdef {PROGRAM}
# Completion of {PROGRAM} for zsh: put it as _{PROGRAM} into a directory of $fpath, or source it after compinit.
{"".join(_zsh_word_function(kind) for kind in WORD_COMMANDS)}\
_{PROGRAM}() {{
    local context state state_descr line
    local -a common commands
    typeset -A opt_args
    common=({" ".join(_zsh_flag(item) for item in common)} '(- *)'{{-h,--help}}'[show help]')
    commands=({names})
    _arguments -C $common {version} '1:command:->command' '*::argument:->argument'
    case $state in
        command) _describe command commands ;;
        argument)
            case $line[1] in
{cases}
            esac ;;
    esac
}}
if [[ $funcstack[1] == _{PROGRAM} ]]; then _{PROGRAM} "$@"; else compdef _{PROGRAM} {PROGRAM}; fi
"""


def fish(rows: Sequence[Command], common: Sequence[Argument]) -> str:
    """The script for fish."""
    names = " ".join(name for row in rows for name in _names(row))
    lines = [
        f"# Completion of {PROGRAM} for fish: put it as {PROGRAM}.fish into ~/.config/fish/completions.",
        f"set -l commands {names}",
        f"complete -c {PROGRAM} -f",
        f"complete -c {PROGRAM} -s h -l help -d 'show help'",
        f"complete -c {PROGRAM} -n \"not __fish_seen_subcommand_from $commands\" -l version -d 'show the version'",
        *(f"complete -c {PROGRAM}{_fish_flag(item)}" for item in common),
    ]
    for row in rows:
        for name in _names(row):
            nothing_yet = '-n "not __fish_seen_subcommand_from $commands"'
            lines.append(f"complete -c {PROGRAM} {nothing_yet} -a {name} -d {_fish_quoted(row.summary)}")
        here = f'-n "__fish_seen_subcommand_from {" ".join(_names(row))}"'
        lines += [f"complete -c {PROGRAM} {here}{_fish_flag(item)}" for item in row.arguments if item.is_flag]
        if item := _positional(row, rows):
            lines.append(f"complete -c {PROGRAM} {here}{_fish_value(item)} -d {_fish_quoted(item.options['help'])}")
    return "\n".join(lines) + "\n"


SHELLS: dict[str, Callable[[Sequence[Command], Sequence[Argument]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
#: Words that the scripts request, by the argument of ``pycloudctl completion``. Scripts of version 2.0 request clouds.
WORD_SOURCES: dict[str, Callable[[Client], Iterator[str]]] = {
    "sessions": session_words,
    "nodes": node_words,
    "clouds": node_words,
}


def _names(row: Command) -> tuple[str, ...]:
    return (row.name, *row.aliases)


def _join_words(words: Sequence[str]) -> str:
    return " ".join(words)


def _flag_names(items: Sequence[Argument], *more: str) -> list[str]:
    return [*(name for item in items for name in item.names), *BUILT_IN, *more]


def _flags(row: Command, common: Sequence[Argument]) -> list[str]:
    return _flag_names([*(item for item in row.arguments if item.is_flag), *common])


def _distinct(items: Sequence[Argument]) -> list[Argument]:
    """One argument for each name: its values must be the same in all commands, because bash completes them by name."""
    return list({item.names: item for item in items}.values())


def _positional(row: Command, rows: Sequence[Command]) -> Argument | None:
    """The first positional argument, if its values can be completed; that of ``help`` is a command."""
    item = next((item for item in row.arguments if not item.is_flag), None)
    if item is not None and row.name == HELP_COMMAND:
        names = tuple(other.name for other in rows)
        return Argument(item.names, {**item.options, "choices": names})
    return item if item is not None and (item.choices or item.kind) else None


def _bash_value(item: Argument) -> str:
    """The bash command that completes a value."""
    if item.choices:
        return f'COMPREPLY=($(compgen -W "{_join_words(item.choices)}" -- "$word"))'
    if item.kind == "file":
        return "compopt -o default 2>/dev/null"
    if item.kind in WORD_COMMANDS:
        return f'_{PROGRAM}_offer "$word" < <({WORD_COMMANDS[item.kind]} 2>/dev/null)'
    return ":"


def _zsh_row(row: Command, rows: Sequence[Command]) -> str:
    flags = [_zsh_flag(item) for item in row.arguments if item.is_flag]
    item = _positional(row, rows)
    positional = (
        [_quoted(f"{'*' if item.options.get('nargs') in ('+', '*') else ''}:{row.name}:{_zsh_value(item)}")]
        if item
        else []
    )
    return " ".join([*flags, *positional]) or "'*:'"


def _zsh_flag(item: Argument) -> str:
    text = str(item.options["help"]).replace("[", "(").replace("]", ")").replace(":", ";")
    value = f":{item.options.get('metavar', 'value')}:{_zsh_value(item)}" if item.takes_value else ""
    repeatable = "*" if item.options.get("action") == "append" else ""
    return " ".join(_quoted(f"{repeatable}{name}[{text}]{value}") for name in item.names)


def _zsh_value(item: Argument) -> str:
    if item.choices:
        return f"({_join_words(item.choices)})"
    if item.kind in WORD_COMMANDS:
        return f"_{PROGRAM}_{item.kind}s"
    return "_files" if item.kind == "file" else " "


def _zsh_word_function(kind: str) -> str:
    """A zsh function that completes ids and names of a kind."""
    return f"""\
_{PROGRAM}_{kind}s() {{
    local -a {kind}s
    {kind}s=(${{(f)"$({WORD_COMMANDS[kind]} 2>/dev/null)"}})
    compadd -a {kind}s
}}
"""


def _fish_flag(item: Argument) -> str:
    names = "".join(f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in item.names)
    value = f" -x{_fish_value(item)}" if item.takes_value and item.kind != "file" else " -r -F" if item.kind else ""
    return f"{names}{value} -d {_fish_quoted(item.options['help'])}"


def _fish_value(item: Argument) -> str:
    if item.choices:
        return f" -a '{_join_words(item.choices)}'"
    if item.kind == "file":
        return " -F"
    return f" -a '({WORD_COMMANDS[item.kind]} 2>/dev/null)'" if item.kind in WORD_COMMANDS else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
