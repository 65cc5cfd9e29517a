"""Output of a script session, read from its log as that grows.

The log is what lies between the session and its viewers: who reads too slowly finds old output freed, and goes on
close to its end. May touch: the log.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import gevent

from pycloud.errors import BadRequest
from pycloud.keeper.storage import log_file
from pycloud.protocol.log_stream import whole_characters
from pycloud.runtimes.base import Piece, Start
from pycloud.runtimes.script.file_watcher import Growth

#: Seconds between two looks at a log for which the kernel gave no watch, while somebody follows it.
UNWATCHED = 0.25
#: Bytes before the end of the log with which a reader goes on that was overtaken: further back it would be again.
LANDING = 256 * 1024


def landing(wanted: int, kept: int, size: int, begun: bool) -> int:
    """Where to go on reading whose turn is the byte at ``wanted``, in a log that keeps what is from ``kept`` on.

    Where nothing is missing there; with the oldest that is kept for who only begins; else close to the end.
    """
    if kept <= wanted or not begun:
        return max(wanted, kept)
    return max(kept, size - LANDING)


class LogReader:
    """Reads ``path`` from ``start`` on; ``more`` is called when there is more. Raises FileNotFoundError, BadRequest.

    ``once``: only as far as it has come by now.
    """

    def __init__(self, path: Path, start: Start, once: bool, growth: Growth, more: Callable[[], None]) -> None:
        self._path, self._growth, self._more = path, growth, more
        size = path.stat().st_size
        self._limit = size if once else math.inf
        self.begin = self._at = _begin(path, start, size)
        self.place: str | None = None
        self._begun = False
        self._watch: int | None = None
        self.patience = math.inf

    def read(self, most: int) -> Piece | None:
        """The next output, at most ``most`` bytes; None: there is none now. Raises FileNotFoundError."""
        piece = self._read(most)
        if piece is None and self._at < self._limit:
            # What was written just before the watch was there is not missed.
            self._growth.cancel(self._watch, self._more)
            self._watch = self._growth.await_next(self._path, self._more)
            self.patience = math.inf if self._watch is not None else UNWATCHED
            piece = self._read(most)
        return piece

    def complete(self, over: bool) -> bool:
        """Whether ``read`` has returned all; ``over``: the session had ended before."""
        return over or self._at >= self._limit

    def close(self) -> None:
        """Read no more."""
        self._growth.cancel(self._watch, self._more)

    def _read(self, most: int) -> Piece | None:
        most = int(min(most, self._limit - self._at))
        if most <= 0:
            return None
        kept, size, data = log_file.read(self._path, self._at, most)
        if (start := landing(self._at, kept, size, self._begun)) != kept:
            start, size, data = log_file.read(self._path, start, most)
        if not data:
            return None
        if start + len(data) < size:
            data = whole_characters(data)
        self._begun, self._at = True, start + len(data)
        return Piece(start, data)


def _begin(path: Path, start: Start, size: int) -> int:
    """The offset at which to begin."""
    if start.since is not None:
        raise BadRequest("follow: `since`: the output of a script carries no times; ask for `lines` or `tail`")
    if start.offset is not None:
        return min(start.offset, size)
    if start.lines is not None:
        return log_file.line_start(path, start.lines, lambda: gevent.sleep(0))
    assert start.tail is not None
    wanted = max(0, size - start.tail)
    return log_file.read(path, wanted, 1)[0]
