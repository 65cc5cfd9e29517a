"""``pycloudctl man``: the manual page, generated from the table of commands. Pure.

Uses the macros of man(7), which every system can format: ``pycloudctl man | man -l -``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pycloud.shell.base.command import Argument, Command
from pycloud.shell.dispatch.parser import DESCRIPTION, WITHOUT_COMMAND
from pycloud.shell.terminal.exit_codes import ExitCode

#: Environment variables and their descriptions. The help of the flags names some of them too.
ENVIRONMENT = {
    "PYCLOUD_REDIS_URL": "URL of the Redis that the nodes use",
    "PYCLOUD_NAMESPACE": "prefix of all channels and keys",
    "PYCLOUD_CONFIG": "the settings file to read",
    "NO_COLOR": "if set to any value, the output has no colours",
    "XDG_STATE_HOME": "directory of pycloud/pycloudctl_history, the history of the prompt",
}
EXAMPLES = {
    "pycloudctl create examples/hello.sh": "Start a session on the least loaded node.",
    "pycloudctl list --state running -o ids": "Print the ids of all running sessions, one per line.",
    "pycloudctl wait 3f9a": "Wait for the end of the session whose id begins with 3f9a, and exit with its exit code.",
}


def manual_page(
    commands: Sequence[Command],
    common: Sequence[Argument],
    *,
    version: str,
    codes: Mapping[ExitCode, str],
) -> str:
    """The page as text for man(1). ``common``: the flags of every command. ``codes``: the text for each exit code."""
    rows = [row for row in commands if not row.prompt_only]
    parts = [
        f'.TH PYCLOUDCTL 1 "" "PyCloud {version}" "PyCloud"',
        ".SH NAME",
        f"pycloudctl \\- {DESCRIPTION[0].lower()}{DESCRIPTION[1:-1]}",
        ".SH SYNOPSIS",
        ".B pycloudctl\n[\\fIFLAG\\fR ...] [\\fICOMMAND\\fR [\\fIARGUMENT\\fR ...]]",
        ".SH DESCRIPTION",
        _text(
            "pycloudctl publishes requests to the nodes of one Redis and prints their responses. "
            + " ".join(WITHOUT_COMMAND.split())
        ),
        _text("A session is given by its id, by a beginning of the id that no other session has, or by its name."),
        ".SH COMMANDS",
        *(line for row in rows for line in _command(row)),
        ".SH FLAGS OF EVERY COMMAND",
        *(line for item in common for line in _item(item)),
        *_terms("ENVIRONMENT", ENVIRONMENT),
        *_terms("EXIT STATUS", {str(int(code)): meaning for code, meaning in codes.items()}),
        *_terms("EXAMPLES", EXAMPLES),
        ".SH SEE ALSO",
        ".BR redis-cli (1)",
    ]
    return "\n".join(parts) + "\n"


def _command(row: Command) -> Iterator[str]:
    positionals = [_positional(item) for item in row.arguments if not item.is_flag]
    flags = [item for item in row.arguments if item.is_flag]
    names = ", ".join(f"\\fB{_escaped(name)}\\fR" for name in (row.name, *row.aliases))
    yield ".SS " + " ".join([names, *(["[\\fIFLAG\\fR ...]"] if flags else []), *positionals])
    yield _text(f"{row.summary[0].upper()}{row.summary[1:]}. {row.details}".strip())
    for item in row.arguments:
        yield from _item(item)


def _item(item: Argument) -> Iterator[str]:
    names = ", ".join(f"\\fB{_escaped(name)}\\fR" for name in item.names) if item.is_flag else _positional(item)
    value = f" {_value(item)}" if item.is_flag and item.takes_value else ""
    yield f".TP\n{names}{value}\n{_text(str(item.options['help']).replace('%%', '%'))}"


def _positional(item: Argument) -> str:
    count = item.options.get("nargs")
    value = _value(item) + (" ..." if count in ("+", "*") else "")
    return f"[{value}]" if count in ("?", "*") else value


def _value(item: Argument) -> str:
    name = item.names[-1].lstrip("-").upper()
    value = item.options.get("metavar") or ("|".join(item.choices) if item.choices else name)
    return f"\\fI{_escaped(str(value))}\\fR"


def _terms(heading: str, terms: Mapping[str, str]) -> list[str]:
    rows = [f".TP\n.B {_escaped(term)}\n{_text(meaning)}" for term, meaning in terms.items()]
    return [f".SH {heading}", *rows]


def _text(text: str) -> str:
    """A paragraph, escaped so that no line is interpreted as a macro."""
    return "\n".join(re.sub(r"^(?=[.'])", "\\\\&", line) for line in _escaped(text).split("\n"))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")
