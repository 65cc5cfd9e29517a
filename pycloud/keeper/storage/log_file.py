"""Logs of sessions: append-only files whose offsets never change, and whose old blocks are given back.

A session writes its log itself, so the file cannot be rotated under it: instead the blocks before the newest part are
freed, which leaves a hole. The daemon reads with ``tail`` and ``read``.

May touch: the files it is given.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

_PUNCH_HOLE = 0x02
_KEEP_SIZE = 0x01
CHUNK_SIZE = 64 * 1024  # bytes that are read at once
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)


def create(path: str) -> int:
    """A new log, 0600, open for appending. Raises OSError, also when there is one already."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def limit_size(path: str, max_bytes: int) -> None:
    """Free what lies before the newest ``keep`` bytes, to whole blocks. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        old = (status.st_size - max_bytes) // status.st_blksize * status.st_blksize
        if old <= 0:
            return
        try:
            punch_hole(fd, old)
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
            rewrite(fd, old)
    finally:
        os.close(fd)


def punch_hole(fd: int, length: int) -> None:
    """Turn the first ``length`` bytes into a hole. Raises OSError, EOPNOTSUPP where the file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    fallocate = getattr(libc, "fallocate64", None) or libc.fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, 0, length) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def rewrite(fd: int, length: int) -> None:
    """The same where holes cannot be punched: empty the file and put its tail back at the same offset.

    What the session writes in these few milliseconds may be lost; there is no better way on such a file system.
    """
    size = os.fstat(fd).st_size
    newest = _read(fd, length, size)
    os.ftruncate(fd, 0)
    os.ftruncate(fd, size)
    os.pwrite(fd, newest, length)


def tail(path: Path, count: int) -> tuple[int, bytes]:
    """The newest ``count`` bytes, or as many as there are, and the offset of the first. Raises OSError.

    Bytes that have been freed are not there any more and are not returned as zeros.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        start = _first_data(fd, max(0, size - count), size)
        data = _read(fd, start, size)
    finally:
        os.close(fd)
    unfreed = data.lstrip(b"\0")  # a file system without holes shows what was freed as zeros
    return start + len(data) - len(unfreed), unfreed


def read(path: Path, offset: int, max_bytes: int) -> tuple[int, int, bytes]:
    """At most ``most`` bytes from ``offset`` on, where they begin, and the size of the log. Raises OSError.

    They begin later than at ``offset`` where what lies there has been freed.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while True:
            size = os.fstat(fd).st_size
            if offset >= size:
                return offset, size, b""
            start = _first_data(fd, offset, size)
            data = os.pread(fd, min(max_bytes, size - start), start)
            # What was freed while it was read may have been read as zeros.
            if _first_data(fd, start, size) == start:
                return start, size, data
            offset = start
    finally:
        os.close(fd)


def line_start(path: Path, lines: int, pause: Callable[[], None]) -> int:
    """The offset at which the newest ``lines`` lines begin, as far as they are kept. Raises OSError.

    What follows the last line feed is a line. ``pause`` is called between two reads.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        end = at = os.fstat(fd).st_size
        missing = lines
        while at > 0 and missing > 0:
            wanted = max(0, at - CHUNK_SIZE)
            begin = min(at, _first_data(fd, wanted, end))
            chunk = os.pread(fd, at - begin, begin)
            # What ends the last line begins none.
            begins = chunk[:-1] if at == end else chunk
            if (found := begins.count(b"\n")) >= missing:
                return begin + _nth_last(begins, missing) + 1
            if begin > wanted:
                return begin
            missing, at = missing - found, begin
            pause()
        return at
    finally:
        os.close(fd)


def _nth_last(chunk: bytes, count: int) -> int:
    """The place of the line feed number ``count`` from the end."""
    at = len(chunk)
    for _ in range(count):
        at = chunk.rindex(b"\n", 0, at)
    return at


def _first_data(fd: int, start: int, size: int) -> int:
    if start >= size:
        return size
    try:
        return os.lseek(fd, start, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return size


def _read(fd: int, start: int, end: int) -> bytes:
    parts = []
    while start < end and (part := os.pread(fd, end - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)
