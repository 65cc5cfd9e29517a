"""Reads the output of a script session from its log as that grows.

The log is the buffer between the session and its viewers: a viewer that reads too slowly finds that old output was
freed, and continues close to the end. May touch: the log.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import gevent

from pycloud.errors import BadRequest
from pycloud.keeper.storage import log_file
from pycloud.protocol.log_stream import trim_partial_character
from pycloud.runtimes.base import OutputChunk, ReadFrom
from pycloud.runtimes.script.file_watcher import FileWatcher

#: Seconds between two reads of a log that inotify cannot watch, while it is followed.
UNWATCHED_POLL_INTERVAL = 0.25
#: Bytes before the end of the log where an overtaken reader continues; further back, it would be overtaken again.
RESUME_BEFORE_END = 256 * 1024


def resume_offset(wanted: int, oldest: int, size: int, has_read: bool) -> int:
    """Return the offset to continue at, where ``wanted`` is next and ``oldest`` is the first offset still retained.

    This is ``wanted`` if nothing is missing there; ``oldest`` for a reader that has read nothing yet; otherwise an
    offset close to the end.
    """
    if oldest <= wanted or not has_read:
        return max(wanted, oldest)
    return max(oldest, size - RESUME_BEFORE_END)


class ScriptLogReader:
    """Reads ``path`` from ``read_from`` on; calls ``on_output`` when there is more.

    ``once``: reads only the output written by now. Raises FileNotFoundError, BadRequest.
    """

    def __init__(
        self, path: Path, read_from: ReadFrom, once: bool, file_watcher: FileWatcher, on_output: Callable[[], None]
    ) -> None:
        self._path, self._file_watcher, self._on_output = path, file_watcher, on_output
        size = path.stat().st_size
        self._limit = size if once else math.inf
        self.start_offset = self._offset = _start_offset(path, read_from, size)
        self.start_position: str | None = None
        self._has_read = False
        self._watch: int | None = None
        self.poll_interval = math.inf

    def read(self, max_bytes: int) -> OutputChunk | None:
        """Return the next output, at most ``max_bytes`` bytes; None: there is none now. Raises FileNotFoundError."""
        chunk = self._read(max_bytes)
        if chunk is None and self._offset < self._limit:
            # Read again, so that output written just before the watch began is not missed.
            self._file_watcher.cancel(self._watch, self._on_output)
            self._watch = self._file_watcher.notify_on_write(self._path, self._on_output)
            self.poll_interval = math.inf if self._watch is not None else UNWATCHED_POLL_INTERVAL
            chunk = self._read(max_bytes)
        return chunk

    def is_complete(self, session_ended: bool) -> bool:
        """Return whether ``read`` has returned all; ``session_ended``: the session had ended before."""
        return session_ended or self._offset >= self._limit

    def close(self) -> None:
        """Stop reading."""
        self._file_watcher.cancel(self._watch, self._on_output)

    def _read(self, max_bytes: int) -> OutputChunk | None:
        max_bytes = int(min(max_bytes, self._limit - self._offset))
        if max_bytes <= 0:
            return None
        oldest, size, data = log_file.read(self._path, self._offset, max_bytes)
        if (start := resume_offset(self._offset, oldest, size, self._has_read)) != oldest:
            start, size, data = log_file.read(self._path, start, max_bytes)
        if not data:
            return None
        if start + len(data) < size:
            data = trim_partial_character(data)
        self._has_read, self._offset = True, start + len(data)
        return OutputChunk(start, data)


def _start_offset(path: Path, read_from: ReadFrom, size: int) -> int:
    """Return the offset at which to begin. Raises BadRequest."""
    if read_from.since is not None:
        raise BadRequest("follow: `since`: the output of a script carries no times; ask for `lines` or `tail`")
    if read_from.offset is not None:
        return min(read_from.offset, size)
    if read_from.lines is not None:
        return log_file.line_start(path, read_from.lines, lambda: gevent.sleep(0))
    assert read_from.tail is not None
    wanted = max(0, size - read_from.tail)
    return log_file.read(path, wanted, 1)[0]
