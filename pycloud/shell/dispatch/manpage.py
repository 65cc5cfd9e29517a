"""``pycloudctl man``: the manual page, generated from the table of commands. Pure.

Uses the macros of man(7), which every system can format: ``pycloudctl man | man -l -``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pycloud.shell.base.command import Argument, Command
from pycloud.shell.terminal.exit_codes import ExitCode

#: Environment variables and their descriptions. The help of the flags names some of them too.
ENVIRONMENT = {
    "PYCLOUD_REDIS_URL": "the Redis of the clouds",
    "PYCLOUD_NAMESPACE": "prefix of all channels and keys",
    "PYCLOUD_CONFIG": "the settings file to read",
    "NO_COLOR": "where it is set to anything, nothing is coloured",
    "XDG_STATE_HOME": "below it lies pycloud/pycloudctl_history, what was typed at the prompt",
}
EXAMPLES = {
    "pycloudctl create examples/hello.sh": "Start a session on the cloud that fits best.",
    "pycloudctl list --state running -o ids": "The ids of all sessions that run, one per line, for a script.",
    "pycloudctl wait 3f9a": "Wait for the end of the session whose id begins with 3f9a, and end with its exit code.",
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
        "pycloudctl \\- start sessions on a PyCloud, ask about them, end them",
        ".SH SYNOPSIS",
        ".B pycloudctl\n[\\fIFLAG\\fR ...] [\\fICOMMAND\\fR [\\fIARGUMENT\\fR ...]]",
        ".SH DESCRIPTION",
        _text(
            "Publishes requests to the clouds of one Redis and shows what they answer. Without a command it is a "
            "prompt, on a terminal; otherwise commands are read from standard input, one per line (# begins a "
            "comment), and the first exit code other than 0 counts."
        ),
        _text("The beginning of a session's id is enough wherever a session is named, as long as no other begins so."),
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
