"""Splits a partial line, and finds what the table of commands allows at the cursor. Pure, except for file names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pycloud.shell.base.command import Argument, Command
from pycloud.shell.base.flags import COMMON_FLAGS


@dataclass(frozen=True)
class InputTokens:
    """``before``: the complete words before the cursor. ``word``: the word at the cursor as typed so far, without
    quotation marks. ``start``: its index on the line.
    """

    before: tuple[str, ...]
    word: str
    start: int


def tokenize(text: str) -> InputTokens:
    """Split ``text``, the line up to the cursor, into words. An unfinished quotation or escape is not an error."""
    words: list[str] = []
    word, start, quote, escaped = "", None, "", False
    for index, char in enumerate(text):
        if escaped:
            word, escaped = word + char, False
        elif char == "\\" and quote != "'":
            start, escaped = index if start is None else start, True
        elif quote:
            word, quote = (word, "") if char == quote else (word + char, quote)
        elif char in "'\"":
            start, quote = index if start is None else start, char
        elif char.isspace():
            if start is not None:
                words.append(word)
            word, start = "", None
        else:
            word, start = word + char, index if start is None else start
    return InputTokens(tuple(words), word, len(text) if start is None else start)


HELP_COMMAND = "help"


@dataclass(frozen=True)
class CompletionTarget:
    """What the command line allows at the cursor. ``commands``: a command. ``flags``: one of these flags. ``value``: a
    value of this argument; ``prefix``: the beginning of the word that is not part of that value (``--flag=``).
    """

    commands: bool = False
    flags: tuple[Argument, ...] = ()
    value: Argument | None = None
    prefix: str = ""


def completion_target(commands: Mapping[str, Command], before: Sequence[str], word: str) -> CompletionTarget:
    """What the command line allows in place of ``word``, after the words ``before``.

    ``commands``: all rows, by name and alias.
    """
    command_index, pending_flag = _find_command(before)
    if command_index is None:
        if pending_flag is not None:
            return CompletionTarget(value=pending_flag)
        return CompletionTarget(flags=COMMON_FLAGS) if word.startswith("-") else CompletionTarget(commands=True)
    row = commands.get(before[command_index])
    if row is None:
        return CompletionTarget()
    arguments = (*row.arguments, *COMMON_FLAGS)
    values, pending_flag, ended = _scan_arguments(arguments, before[command_index + 1 :])
    if pending_flag is not None:
        return CompletionTarget(value=pending_flag)
    if word.startswith("-") and not ended:
        name, equals, _ = word.partition("=")
        flag = _find_flag(arguments, name) if equals else None
        if flag is not None:
            return CompletionTarget(value=flag, prefix=f"{name}=")
        return CompletionTarget(flags=tuple(item for item in arguments if item.is_flag))
    if row.name == HELP_COMMAND:
        return CompletionTarget(commands=not values)
    return CompletionTarget(value=_next_positional(row, values))


def _find_command(before: Sequence[str]) -> tuple[int | None, Argument | None]:
    """The index of the command (None: none yet), and if there is none the last flag, where its value is missing."""
    pending_flag: Argument | None = None
    for index, word in enumerate(before):
        if pending_flag is not None:
            pending_flag = None
        elif word.startswith("-"):
            pending_flag = _find_flag(COMMON_FLAGS, word)
            pending_flag = pending_flag if pending_flag is not None and pending_flag.takes_value else None
        else:
            return index, None
    return None, pending_flag


def _scan_arguments(arguments: Sequence[Argument], words: Sequence[str]) -> tuple[int, Argument | None, bool]:
    """The number of positional words, the last flag if its value is missing, and whether ``--`` ended the flags."""
    count, pending_flag, ended = 0, None, False
    for word in words:
        if pending_flag is not None:
            pending_flag = None
        elif word == "--":
            ended = True
        elif word.startswith("-") and word != "-" and not ended:
            flag = _find_flag(arguments, word)
            pending_flag = flag if flag is not None and flag.takes_value else None
        else:
            count += 1
    return count, pending_flag, ended


def _find_flag(arguments: Sequence[Argument], name: str) -> Argument | None:
    return next((item for item in arguments if item.is_flag and name in item.names), None)


def _next_positional(row: Command, count: int) -> Argument | None:
    """The argument that the next word belongs to, after ``count`` positional words; the last one may accept many."""
    positionals = [item for item in row.arguments if not item.is_flag]
    if count < len(positionals):
        return positionals[count]
    return positionals[-1] if positionals and positionals[-1].options.get("nargs") in ("+", "*") else None


#: Maximum number of directory entries read: a directory may contain millions.
MAX_SCANNED = 2000


def file_names(word: str) -> list[str]:
    """The names of the files in the directory that ``word`` begins with, sorted.

    Directories end with a slash. Hidden files match only where the dot was typed. Empty where the directory cannot be
    read.
    """
    folder, slash, beginning = word.rpartition("/")
    where = Path(folder + slash or ".")
    names: dict[str, str] = {}
    try:
        with os.scandir(where.expanduser()) as entries:
            for entry, _ in zip(entries, range(MAX_SCANNED), strict=False):
                if entry.name.startswith(".") == beginning.startswith(".") and entry.name.isprintable():
                    names[entry.name] = "/" if entry.is_dir() else ""
    except (OSError, RuntimeError):  # RuntimeError: no such home directory
        return []
    return [name + names[name] for name in sorted(names)]
