"""Logs of sessions: append-only files whose offsets never change, and whose old blocks are freed.

A session writes its log itself, so the file cannot be rotated: instead the blocks before the newest part are freed,
which leaves a hole. The daemon reads with ``tail`` and ``read``.

May touch: the files that it is given.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

_PUNCH_HOLE = 0x02
_KEEP_SIZE = 0x01
CHUNK_SIZE = 64 * 1024  # bytes per read
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)


def create(path: str) -> int:
    """Create a log with mode 0600; return its descriptor, open for appending. Raises OSError, also when it exists."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def limit_size(path: str, max_bytes: int) -> None:
    """Free the whole blocks before the newest ``max_bytes`` bytes. Raises OSError."""
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
    """Free the first ``length`` bytes where holes are not supported: empty the file and restore the rest at its offset.

    Data that the session writes during these few milliseconds may be lost; such a file system offers no better way.
    """
    size = os.fstat(fd).st_size
    newest = _read(fd, length, size)
    os.ftruncate(fd, 0)
    os.ftruncate(fd, size)
    os.pwrite(fd, newest, length)


def tail(path: Path, count: int) -> tuple[int, bytes]:
    """Return the offset of the newest ``count`` bytes and the bytes, or as many as there are. Raises OSError.

    Bytes that were freed are left out, not returned as zeros.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        start = _first_data(fd, max(0, size - count), size)
        data = _read(fd, start, size)
    finally:
        os.close(fd)
    unfreed = data.lstrip(b"\0")  # a file system without holes returns zeros for freed bytes
    return start + len(data) - len(unfreed), unfreed


def read(path: Path, offset: int, max_bytes: int) -> tuple[int, int, bytes]:
    """Return at most ``max_bytes`` bytes from ``offset`` on: where they begin, the size of the log, and the bytes.

    They begin after ``offset`` where the bytes at ``offset`` were freed. Raises OSError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while True:
            size = os.fstat(fd).st_size
            if offset >= size:
                return offset, size, b""
            start = _first_data(fd, offset, size)
            data = os.pread(fd, min(max_bytes, size - start), start)
            # Bytes freed during the read may have been read as zeros.
            if _first_data(fd, start, size) == start:
                return start, size, data
            offset = start
    finally:
        os.close(fd)


def line_start(path: Path, lines: int, pause: Callable[[], None]) -> int:
    """Return the offset at which the newest ``lines`` lines begin, as far as they are retained. Raises OSError.

    Data after the last line feed counts as a line. ``pause`` is called between two reads.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        end = at = os.fstat(fd).st_size
        missing = lines
        while at > 0 and missing > 0:
            wanted = max(0, at - CHUNK_SIZE)
            begin = min(at, _first_data(fd, wanted, end))
            chunk = os.pread(fd, at - begin, begin)
            # The line feed at the end of the file does not begin a line.
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
    """Return the index of the ``count``-th line feed from the end."""
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
