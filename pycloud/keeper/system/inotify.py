"""Reports writes to files, without cost while there are none: inotify, with one one-shot watch per file.

May touch: its own descriptor.
"""

from __future__ import annotations

import ctypes
import os
import struct

_MODIFY, _OVERFLOW, _ONE_SHOT = 0x2, 0x4000, 0x80000000
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_CHUNK = 64 * 1024

#: A watch in the result of ``read_events``: the kernel's queue overflowed, so any watch may have fired.
ANY_WATCH = -1


class InotifyWatcher:
    """Watches files. ``descriptor`` is readable after a write to one; None where this user has too many of them."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int | None = None
        try:
            self.descriptor = _checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            self._init_error = error

    def add(self, path: str) -> int:
        """Watch for the next write; return the watch's number. Raises OSError, ENOSPC where the user has too many."""
        if self.descriptor is None:
            raise self._init_error
        name, mask = os.fsencode(path), ctypes.c_uint32(_MODIFY | _ONE_SHOT)
        return _checked(self._libc.inotify_add_watch(self.descriptor, name, mask))

    def remove(self, watch: int) -> None:
        """Remove a watch. One that has fired, or whose file is gone, has removed itself."""
        self._libc.inotify_rm_watch(self.descriptor, watch)

    def read_events(self) -> list[int]:
        """Return the watches whose files were written to; ANY_WATCH may be among them."""
        found = []
        while data := self._read():
            offset = 0
            while offset < len(data):
                watch, mask, _cookie, length = _EVENT.unpack_from(data, offset)
                offset += _EVENT.size + length
                if mask & (_MODIFY | _OVERFLOW):
                    found.append(ANY_WATCH if mask & _OVERFLOW else watch)
        return found

    def close(self) -> None:
        """Close the descriptor, which removes all watches."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _read(self) -> bytes:
        if self.descriptor is None:
            return b""
        try:
            return os.read(self.descriptor, _CHUNK)
        except BlockingIOError:
            return b""


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
