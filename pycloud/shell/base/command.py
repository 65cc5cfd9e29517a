"""What a row of the table of commands is made of. Pure."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from pycloud.shell.base.context import Context

#: What a value is, for those who complete it: a file's name, the id of a session, or that of a cloud.
ValueKind = Literal["", "file", "session", "cloud"]


#: Carries a command out and returns its exit code.
CommandFunction = Callable[[Context, Namespace], int]

#: As many lines as there are.
ALL_LINES = -1


@dataclass(frozen=True)
class Argument:
    """One argument as argparse takes it: names or flags, and options. ``kind``: what its value is."""

    names: tuple[str, ...]
    options: Mapping[str, Any]
    kind: ValueKind = ""

    @property
    def is_flag(self) -> bool:
        """Whether it is written with a minus in front; otherwise its place says what it is."""
        return self.names[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """Whether something follows it, or stands for it."""
        return self.options.get("action") not in ("store_true", "help", "version")

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it may be; empty where it may be any."""
        return tuple(self.options.get("choices", ()))


@dataclass(frozen=True)
class Command:
    """One row. ``function``: ``MODULE:FUNCTION`` below ``pycloud.shell``. ``details`` is shown below the summary in the
    command's own help, ``aliases`` are other names of it.
    """

    name: str
    summary: str
    function: str
    arguments: tuple[Argument, ...] = ()
    details: str = ""
    prompt_only: bool = False
    aliases: tuple[str, ...] = ()

    def load(self) -> CommandFunction:
        """The function; its module is loaded now, and not before, so that the other commands start faster."""
        module, _, name = self.function.partition(":")
        function: CommandFunction = getattr(import_module(f"pycloud.shell.{module}"), name)
        return function

    def run(self, context: Context, args: Namespace) -> int:
        """Carry the command out; its exit code."""
        return self.load()(context, args)


def argument(*names: str, kind: ValueKind = "", **options: Any) -> Argument:
    """A row's argument."""
    return Argument(names, options, kind)


def key_value(text: str) -> tuple[str, str]:
    """``KEY=VALUE`` taken apart."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def positive_int(text: str) -> int:
    """A whole number above 0."""
    number = non_negative_int(text)
    if not number:
        raise argparse.ArgumentTypeError("0 is too few: name a number from 1 on")
    return number


def non_negative_int(text: str) -> int:
    """A whole number that is not negative."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def line_count(text: str) -> int:
    """A number of lines, or ``all``."""
    if text == "all":
        return ALL_LINES
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines from 0 to 999999, and not `all`")
    return int(text)
