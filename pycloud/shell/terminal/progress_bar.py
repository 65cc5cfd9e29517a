"""How far something with many parts is: one line on a terminal, redrawn in place. Nowhere else does it say anything."""

from __future__ import annotations

import contextlib
import time

from pycloud.shell.terminal.output import Printer

#: Seconds between two pictures: more of them cannot be read, and a slow line would be full of them.
MIN_DRAW_INTERVAL = 0.1
#: How wide the bar is, without its ends.
BAR_WIDTH = 30


class ProgressBar:
    """``verb``: what is done to ``total`` things, in the past tense. Draws only where people can see it."""

    def __init__(self, printer: Printer, verb: str, total: int) -> None:
        self._printer, self._verb, self._total = printer, verb, total
        self._width = 0
        self._drawn_at = float("-inf")

    def show(self, done: int, failed: int = 0) -> None:
        """So many are done, and so many have failed."""
        now = time.monotonic()
        if self._printer.shows_progress and now - self._drawn_at >= MIN_DRAW_INTERVAL:
            self._drawn_at = now
            more = f", {failed} failed" if failed else ""
            self._draw(f"{bar(done + failed, self._total)} {self._verb} {done} of {self._total}{more} ...")

    def clear(self) -> None:
        """Take the line away: something else is to be written."""
        if self._width:
            self._draw("")
            self._drawn_at = float("-inf")

    def _draw(self, text: str) -> None:
        """Over what stands there; what cannot be written to people cannot be told them either."""
        with contextlib.suppress(OSError):
            self._printer.out.flush()
            self._printer.err.write(f"\r{text.ljust(self._width)}\r{text}")
            self._printer.err.flush()
        self._width = len(text)


def bar(done: int, total: int) -> str:
    """How far it is, as a picture."""
    filled = BAR_WIDTH * done // total
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]"
