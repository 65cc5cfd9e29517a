"""A progress bar: one line on a terminal, redrawn in place. Draws nothing elsewhere."""

from __future__ import annotations

import contextlib
import time

from pycloud.shell.terminal.output import Printer, bar

#: Minimum seconds between two redraws: more could not be read, and would fill a slow connection.
MIN_DRAW_INTERVAL = 0.1
#: Width of the bar in columns, without its brackets.
BAR_WIDTH = 30


class ProgressBar:
    """``verb``: the past participle for a finished item, ``total``: number of items. Draws only on a terminal."""

    def __init__(self, printer: Printer, verb: str, total: int) -> None:
        self._printer, self._verb, self._total = printer, verb, total
        self._width = 0
        self._drawn_at = float("-inf")

    def show(self, done: int, failed: int = 0) -> None:
        """Draw the bar for so many items done and failed, at most once per ``MIN_DRAW_INTERVAL``."""
        now = time.monotonic()
        if self._printer.shows_progress and now - self._drawn_at >= MIN_DRAW_INTERVAL:
            self._drawn_at = now
            more = f", {failed} failed" if failed else ""
            filled = BAR_WIDTH * (done + failed) // self._total  # full only when all are done
            drawn_bar = bar(filled / BAR_WIDTH, BAR_WIDTH, "#", ".")
            self._draw(f"[{drawn_bar}] {self._verb} {done} of {self._total}{more} ...")

    def clear(self) -> None:
        """Erase the line, before other output."""
        if self._width:
            self._draw("")
            self._drawn_at = float("-inf")

    def _draw(self, text: str) -> None:
        """Overwrite the line. Write errors are ignored: they could not be shown either."""
        with contextlib.suppress(OSError):
            self._printer.out.flush()
            self._printer.err.write(f"\r{text.ljust(self._width)}\r{text}")
            self._printer.err.flush()
        self._width = len(text)
