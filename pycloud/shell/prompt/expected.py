"""What may stand at the cursor, read off the table of commands. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pycloud.shell.base.command import Argument, Command
from pycloud.shell.base.flags import COMMON_FLAGS

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
