"""Parses words into a command and its arguments; returns help. Built from the table of commands; runs nothing."""

from __future__ import annotations

import argparse
import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import pycloud
from pycloud.config.loader import suggestion
from pycloud.shell.base.command import Argument, Command
from pycloud.shell.base.flags import COMMON_FLAGS, CONNECTION_FLAGS
from pycloud.shell.dispatch.table import COMMANDS
from pycloud.shell.terminal.exit_codes import EXIT_CODE_MEANINGS, UsageError

PROGRAM = "pycloudctl"
DESCRIPTION = "Start, inspect and remove sessions on the nodes of a PyCloud."
#: Split into lines of at most 80 columns.
_CODE_LINES = [f"{code} {meaning}" for code, meaning in EXIT_CODE_MEANINGS.items()]
EXIT_CODES_HELP = "exit codes: " + ",\n            ".join(
    ", ".join(some) for some in (_CODE_LINES[:4], _CODE_LINES[4:7], _CODE_LINES[7:])
)
WITHOUT_COMMAND = """\
Without a command, pycloudctl shows a prompt on a terminal. Otherwise it reads
commands from standard input, one per line (# begins a comment), and exits with
the first exit code other than 0."""
EPILOG = f"{EXIT_CODES_HELP}\n\n{WITHOUT_COMMAND}"


def flag_names(flags: Sequence[Argument], *, with_value_only: bool = False) -> tuple[str, ...]:
    """All names of ``flags``; ``with_value_only``: only of those that take a value."""
    return tuple(name for item in flags if item.takes_value or not with_value_only for name in item.names)


#: Common flags that select Redis and namespace.
CONNECTION_FLAG_NAMES = flag_names(CONNECTION_FLAGS)
#: Common flags with a value, needed to distinguish that value from a command.
VALUE_FLAG_NAMES = flag_names((*CONNECTION_FLAGS, *COMMON_FLAGS), with_value_only=True)
COMMON_FLAG_NAMES = (*flag_names((*CONNECTION_FLAGS, *COMMON_FLAGS)), "-h", "--help")
#: Error message of argparse for a word that is not one of the choices.
INVALID_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)")
#: A word that begins with a minus and is not a flag.
NEGATIVE_NUMBER = re.compile(r"-\d|-\.\d")


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse for each error. Raises UsageError, with a suggestion for a misspelled choice."""
        if found := INVALID_CHOICE.search(message):
            message += suggestion(found[1], re.findall(r"'(.*?)'", found[2]))
        command = self.prog.removeprefix(PROGRAM).strip()
        shell = f"{PROGRAM} " if self.prog.startswith(PROGRAM) else ""
        raise UsageError(f"{message} (see `{' '.join(f'{shell}help {command}'.split())}`)")


class Grammar:
    """The commands and flags of one mode. ``interactive``: the prompt or lines of standard input; else one-shot use."""

    def __init__(self, *, interactive: bool) -> None:
        self.commands = {row.name: row for row in COMMANDS if interactive or not row.prompt_only}
        self._by_name = {name: row for row in self.commands.values() for name in (row.name, *row.aliases)}
        self._interactive = interactive
        self.prefix = "" if interactive else f"{PROGRAM} "
        self._children: dict[str, argparse.ArgumentParser] = {}
        self._parser = self._build()

    def parse(self, words: Sequence[str]) -> Namespace:
        """The arguments, with ``command`` (None: no command). Raises UsageError; SystemExit after help or version."""
        index = command_index(words)
        self._check_flags(words[:index], self._common_flags(), "")
        word = words[index] if index < len(words) else None
        if word is not None and word not in self._by_name:
            hint = suggestion(word, list(self._by_name))
            raise UsageError(f"there is no command {word}{hint} (see `{self.prefix}help`)")
        if word is not None:
            own = [name for item in self._by_name[word].arguments for name in item.names]
            self._check_flags(words[index + 1 :], [*self._common_flags(), *own], word)
        args = self._parser.parse_args(words)
        if args.command:
            args.command = self._by_name[args.command].name
        return args

    def help_text(self, topic: str | None = None) -> str:
        """The help for all commands, or for ``topic``. Raises UsageError where there is no such command."""
        if topic is None:
            return self._parser.format_help()
        if topic not in self._by_name:
            raise UsageError(f"there is no command {topic}{suggestion(topic, list(self._by_name))}")
        return self._children[self._by_name[topic].name].format_help()

    def _common_flags(self) -> list[str]:
        """The flags accepted before the command, and after it."""
        return (
            [flag for flag in COMMON_FLAG_NAMES if flag not in CONNECTION_FLAG_NAMES]
            if self._interactive
            else [*COMMON_FLAG_NAMES, "--version"]
        )

    def _check_flags(self, words: Sequence[str], known: Sequence[str], command: str) -> None:
        """Raises UsageError for the first unknown flag in ``words``, with a suggestion, which argparse lacks."""
        for flag in flags(words):
            if flag in known or (not flag.startswith("--") and flag[:2] in known):
                continue
            if flag in CONNECTION_FLAG_NAMES:
                raise UsageError(f"{flag} can only be given at the start: exit, and type `{PROGRAM} {flag} ...`")
            if not command and any(flag in item.names for row in self.commands.values() for item in row.arguments):
                raise UsageError(f"{flag} is a flag of a command: write it after the command (see `{self.prefix}help`)")
            about = f"{self.prefix}help {command}".strip()
            raise UsageError(f"there is no flag {flag}{suggestion(flag, list(known))} (see `{about}`)")

    def _build(self) -> Parser:
        parser = Parser(
            prog=self.prefix.strip(),
            usage="COMMAND [ARGUMENT ...]" if self._interactive else None,
            description=DESCRIPTION,
            epilog=EXIT_CODES_HELP if self._interactive else EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if not self._interactive:
            parser.add_argument("--version", action="version", version=f"{PROGRAM} {pycloud.__version__}")
        self._add_common(parser)
        children = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
        for row in self.commands.values():
            self._children[row.name] = self._add_command(children, row)
        return parser

    def _add_command(self, children: Any, row: Command) -> argparse.ArgumentParser:
        description = f"{row.summary[0].upper()}{row.summary[1:]}. {row.details}".strip()
        child: argparse.ArgumentParser = children.add_parser(
            row.name,
            aliases=row.aliases,
            prog=f"{self.prefix}{row.name}",
            help=row.summary,
            description=description,
            allow_abbrev=False,
        )
        for item in row.arguments:
            child.add_argument(*item.names, **item.options)
        self._add_common(child)
        return child

    def _add_common(self, parser: argparse.ArgumentParser) -> None:
        """Add the flags accepted before and after the command. SUPPRESS: a default never overrides a given value."""
        group = parser.add_argument_group("common flags")
        for item in COMMON_FLAGS if self._interactive else (*CONNECTION_FLAGS, *COMMON_FLAGS):
            group.add_argument(*item.names, default=argparse.SUPPRESS, **item.options)


def command_index(words: Sequence[str]) -> int:
    """The index of the command; the length of ``words`` where there is none."""
    indices = iter(range(len(words)))
    for index in indices:
        if words[index] in VALUE_FLAG_NAMES:
            next(indices, None)
        elif not words[index].startswith("-"):
            return index
    return len(words)


def flags(words: Sequence[str]) -> Iterator[str]:
    """The words that argparse treats as flags, without ``=`` and the value."""
    for word in words:
        if word == "--":
            return
        if word.startswith("-") and word != "-" and " " not in word and not NEGATIVE_NUMBER.match(word):
            yield word.partition("=")[0]
