"""The types of a row in the table of commands, and of its arguments. Pure."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from pycloud.shell.base.context import Context

#: Kind of an argument's value, for completion: a file name, a session, or a node.
ValueKind = Literal["", "file", "session", "node"]


#: Executes a command and returns its exit code.
CommandFunction = Callable[[Context, Namespace], int]

#: Value of ``line_count`` for ``all``: no limit on the number of lines.
ALL_LINES = -1


@dataclass(frozen=True)
class Argument:
    """One argument of argparse: its names or flags, its options, and the ``kind`` of its value."""

    names: tuple[str, ...]
    options: Mapping[str, Any]
    kind: ValueKind = ""

    @property
    def is_flag(self) -> bool:
        """Whether it is a flag (begins with a minus); otherwise it is positional."""
        return self.names[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """Whether it has a value: true for positional arguments, and for flags that are followed by one."""
        return self.options.get("action") not in ("store_true", "help", "version")

    @property
    def choices(self) -> tuple[str, ...]:
        """The permitted values; empty where any value is."""
        return tuple(self.options.get("choices", ()))


@dataclass(frozen=True)
class Command:
    """One row. ``function``: ``module:function``, relative to ``pycloud.shell``. ``details``: text below the summary in
    the command's own help. ``prompt_only``: not available in one-shot use. ``aliases``: other names of the command.
    """

    name: str
    summary: str
    function: str
    arguments: tuple[Argument, ...] = ()
    details: str = ""
    prompt_only: bool = False
    aliases: tuple[str, ...] = ()

    def load(self) -> CommandFunction:
        """Import the module and return the function. Imported only now, so that other commands start faster."""
        module, _, name = self.function.partition(":")
        function: CommandFunction = getattr(import_module(f"pycloud.shell.{module}"), name)
        return function

    def run(self, context: Context, args: Namespace) -> int:
        """Execute the command; returns its exit code."""
        return self.load()(context, args)


def argument(*names: str, kind: ValueKind = "", **options: Any) -> Argument:
    """Return an ``Argument``; ``options`` are those of ``add_argument`` in argparse."""
    return Argument(names, options, kind)


def key_value(text: str) -> tuple[str, str]:
    """Parse ``KEY=VALUE`` into key and value. Raises ArgumentTypeError where the key or ``=`` is missing."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def positive_int(text: str) -> int:
    """Parse an integer of at least 1. Raises ArgumentTypeError for any other text."""
    number = non_negative_int(text)
    if not number:
        raise argparse.ArgumentTypeError("0 is too small: give a number of 1 or more")
    return number


def non_negative_int(text: str) -> int:
    """Parse an integer of at least 0, with at most 9 digits. Raises ArgumentTypeError for any other text."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def line_count(text: str) -> int:
    """Parse a number of lines from 0 to 999999, or ``all`` (``ALL_LINES``). Raises ArgumentTypeError otherwise."""
    if text == "all":
        return ALL_LINES
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of lines from 0 to 999999 nor `all`")
    return int(text)
