"""Draws over what it has drawn before, on an ordinary terminal.

Nothing of the terminal is changed that would have to be restored: whatever ends the program, the last picture stays.
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
    """``out``: the terminal; ``size`` asks how large it is (None: the terminal itself does)."""

    def __init__(self, out: BinaryIO, size: Callable[[], os.terminal_size] | None = None) -> None:
        self._out, self._size = out, size or (lambda: size_of(out))
        self._drawn: list[str] = []
        self._drawn_size = self._size()

    @property
    def height(self) -> int:
        """How many lines fit: the last one is the cursor's."""
        return max(1, self._size().lines - 1)

    @property
    def width(self) -> int:
        """How many columns fit."""
        return self._size().columns

    def draw(self, lines: Sequence[str]) -> None:
        """Let these lines stand where the last ones stood; all at once, so that nothing flickers."""
        size = self._size()
        shown = [truncate(line, size.columns) for line in lines[: self.height]]
        if size != self._drawn_size:
            start = CURSOR_HOME  # the terminal has moved what stood there, nobody knows where to
        elif shown == self._drawn:
            return
        else:
            start = f"\r\x1b[{len(self._drawn)}A" if self._drawn else ""
        text = "".join(f"{line}{TO_LINE_END}\n" for line in shown)
        self._out.write((start + text + TO_SCREEN_END).encode(errors="replace"))
        self._out.flush()
        self._drawn, self._drawn_size = shown, size


def size_of(terminal: BinaryIO) -> os.terminal_size:
    """How large it is now, whatever the environment says of its size at some time; some terminals do not know."""
    try:
        size = os.get_terminal_size(terminal.fileno())
    except OSError:
        return shutil.get_terminal_size()
    return size if size.columns and size.lines else shutil.get_terminal_size()


def truncate(line: str, columns: int) -> str:
    """As much of a line as fits, colours not counted; a line of full width would wrap on some terminals."""
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
    """How many columns a character takes."""
    return 0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1
