"""Redraws lines in place on a terminal.

Changes no terminal state that would have to be restored: however the program ends, the last lines stay on the screen.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from typing import BinaryIO
from unicodedata import combining, east_asian_width

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
TO_LINE_END, TO_SCREEN_END, CURSOR_HOME = "\x1b[K", "\x1b[J", "\x1b[H"


class Redrawer:
    """``out``: the terminal. ``size`` returns its size (None: ``size_of(out)``)."""

    def __init__(self, out: BinaryIO, size: Callable[[], os.terminal_size] | None = None) -> None:
        self._out, self._size = out, size or (lambda: size_of(out))
        self._drawn: list[str] = []
        self._drawn_size = self._size()

    @property
    def height(self) -> int:
        """Number of lines that fit; the last line of the screen is left for the cursor."""
        return max(1, self._size().lines - 1)

    @property
    def width(self) -> int:
        """Number of columns that fit."""
        return self._size().columns

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the lines drawn last by these, in a single write, so that the screen does not flicker."""
        size = self._size()
        shown = [truncate(line, size.columns) for line in lines[: self.height]]
        if size != self._drawn_size:
            start = CURSOR_HOME  # a resize moves the lines drawn before to an unknown place
        elif shown == self._drawn:
            return
        else:
            start = f"\r\x1b[{len(self._drawn)}A" if self._drawn else ""
        text = "".join(f"{line}{TO_LINE_END}\n" for line in shown)
        self._out.write((start + text + TO_SCREEN_END).encode(errors="replace"))
        self._out.flush()
        self._drawn, self._drawn_size = shown, size


def size_of(terminal: BinaryIO) -> os.terminal_size:
    """The current size of the terminal. The size in the environment, which may be outdated, is only the fallback."""
    try:
        size = os.get_terminal_size(terminal.fileno())
    except OSError:
        return shutil.get_terminal_size()
    return size if size.columns and size.lines else shutil.get_terminal_size()


def truncate(line: str, columns: int) -> str:
    """As much of ``line`` as fits into ``columns``; escape sequences for colours take no columns."""
    remaining, shown, index = columns, [], 0
    while index < len(line):
        if found := ESCAPE.match(line, index):
            shown.append(found[0])
            index = found.end()
            continue
        remaining -= width_of(line[index])
        if remaining >= 0:
            shown.append(line[index])
        index += 1
    return "".join(shown)


def width_of(char: str) -> int:
    """Columns of a character: 0, 1 or 2."""
    return 0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1
