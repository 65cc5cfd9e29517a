"""What may stand at the cursor, read off the table of commands. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pycloud.shell.base.command import Argument, Command
from pycloud.shell.base.flags import COMMON_FLAGS

HELP = "help"


@dataclass(frozen=True)
class Expected:
    """``commands``: a command may. ``flags``: those that may. ``value``: the argument whose value may; ``prefix`` (of
    the word) is not part of that value.
    """

    commands: bool = False
    flags: tuple[Argument, ...] = ()
    value: Argument | None = None
    prefix: str = ""


def expected(commands: Mapping[str, Command], before: Sequence[str], word: str) -> Expected:
    """What may stand where ``word`` is being typed, behind the words ``before``.

    ``commands``: all rows, by each of their names.
    """
    place, last = _command(before)
    if place is None:
        if last is not None:
            return Expected(value=last)
        return Expected(flags=COMMON_FLAGS) if word.startswith("-") else Expected(commands=True)
    row = commands.get(before[place])
    if row is None:
        return Expected()
    known = (*row.arguments, *COMMON_FLAGS)
    values, last, ended = _values(known, before[place + 1 :])
    if last is not None:
        return Expected(value=last)
    if word.startswith("-") and not ended:
        name, equals, _ = word.partition("=")
        flag = _flag(known, name) if equals else None
        if flag is not None:
            return Expected(value=flag, prefix=f"{name}=")
        return Expected(flags=tuple(item for item in known if item.is_flag))
    if row.name == HELP:
        return Expected(commands=not values)
    return Expected(value=_positional(row, values))


def _command(before: Sequence[str]) -> tuple[int | None, Argument | None]:
    """Where the command stands, and where there is none yet, the flag that waits for its value."""
    waiting: Argument | None = None
    for place, word in enumerate(before):
        if waiting is not None:
            waiting = None
        elif word.startswith("-"):
            waiting = _flag(COMMON_FLAGS, word)
            waiting = waiting if waiting is not None and waiting.takes_value else None
        else:
            return place, None
    return None, waiting


def _values(known: Sequence[Argument], words: Sequence[str]) -> tuple[int, Argument | None, bool]:
    """How many words stand for themselves, the flag that waits for its value, and whether flags have ended (``--``)."""
    count, waiting, ended = 0, None, False
    for word in words:
        if waiting is not None:
            waiting = None
        elif word == "--":
            ended = True
        elif word.startswith("-") and word != "-" and not ended:
            flag = _flag(known, word)
            waiting = flag if flag is not None and flag.takes_value else None
        else:
            count += 1
    return count, waiting, ended


def _flag(known: Sequence[Argument], name: str) -> Argument | None:
    return next((item for item in known if item.is_flag and name in item.names), None)


def _positional(row: Command, count: int) -> Argument | None:
    """The argument that the next word is for, when ``count`` are there; the last may take many."""
    places = [item for item in row.arguments if not item.is_flag]
    if count < len(places):
        return places[count]
    return places[-1] if places and places[-1].options.get("nargs") in ("+", "*") else None
