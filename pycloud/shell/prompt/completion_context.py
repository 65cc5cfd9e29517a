"""What is being typed, and what may stand at the cursor by the table of commands. Pure, except for file names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pycloud.shell.base.command import Argument, Command
from pycloud.shell.base.flags import COMMON_FLAGS
from pycloud.shell.prompt.fuzzy import best_matches


@dataclass(frozen=True)
class InputTokens:
    """``before``: the whole words before the one at the cursor. ``word``: that one, without its quotation marks, as far
    as it was typed; ``start``: where it begins on the line.
    """

    before: tuple[str, ...]
    word: str
    start: int


def tokenize(text: str) -> InputTokens:
    """``text``: the line up to the cursor. What is not finished (a quotation, an escape) is taken as it stands."""
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
    """``commands``: a command may. ``flags``: those that may. ``value``: the argument whose value may; ``prefix`` (of
    the word) is not part of that value.
    """

    commands: bool = False
    flags: tuple[Argument, ...] = ()
    value: Argument | None = None
    prefix: str = ""


def completion_target(commands: Mapping[str, Command], before: Sequence[str], word: str) -> CompletionTarget:
    """What may stand where ``word`` is being typed, behind the words ``before``.

    ``commands``: all rows, by each of their names.
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
    """Where the command stands, and where there is none yet, the flag that waits for its value."""
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
    """How many words stand for themselves, the flag that waits for its value, and whether flags have ended (``--``)."""
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
    """The argument that the next word is for, when ``count`` are there; the last may take many."""
    positionals = [item for item in row.arguments if not item.is_flag]
    if count < len(positionals):
        return positionals[count]
    return positionals[-1] if positionals and positionals[-1].options.get("nargs") in ("+", "*") else None


#: So many names of a directory are looked at: it may hold millions.
MAX_SCANNED = 2000


def file_names(word: str) -> list[str]:
    """The files and directories that ``word`` may be the beginning of, as it would be spelled in full.

    Directories end with a slash. Hidden ones only where the dot was typed. Never raises.
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
    return [f"{folder}{slash}{name}{names[name]}" for name in best_matches(beginning, sorted(names))]
