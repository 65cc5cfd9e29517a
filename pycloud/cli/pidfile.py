"""Files that are locked during the lifetime of a daemon and hold its pid.

Built on ``file_lock``: a pid is trusted only while the file is locked, and only where its process has the file open.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from pycloud.errors import AlreadyRunning, PyCloudError
from pycloud.keeper.system import file_lock

#: Seconds that a lock may be held by a process that has not written its pid yet, or that only inspects the file.
_LOCK_TIMEOUT = 0.5


class PermissionDenied(PyCloudError):
    """The file belongs to another user, so this user cannot determine whether it is locked."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock. ``pid`` is None where it is not visible (another container, another host)."""

    pid: int | None


class PidFile:
    """One pid file, locked for the duration of a ``with`` block; its directory must exist.

    Lock it in the process that is to hold it: a fork shares the lock, exec releases it. ``purpose`` completes "another
    pycloud (pid N) ...", as in "uses /var/lib/pycloud". Raises AlreadyRunning, naming the holder; PyCloudError where
    the file cannot be written.
    """

    def __init__(self, path: Path, purpose: str) -> None:
        self._path, self._purpose = path, purpose

    def __enter__(self) -> None:
        try:
            # The timeout covers processes that inspect the holder: they lock the file for an instant too.
            fd = file_lock.open_locked(self._path, _LOCK_TIMEOUT, str(os.getpid()))
        except OSError as error:
            raise PyCloudError(f"cannot write {self._path}: {error.strerror}") from error
        if fd is None:
            existing = holder(self._path)
            who = (
                f"pid {existing.pid}"
                if existing and existing.pid
                else "its pid is unknown, perhaps it runs in another PID namespace"
            )
            raise AlreadyRunning(f"another pycloud ({who}) {self._purpose}")
        self._fd = fd

    def __exit__(self, *_exception: object) -> None:
        file_lock.release(self._fd)


def holder(path: Path) -> Holder | None:
    """The holder of the lock of this file; None where it is not locked.

    Raises PermissionDenied where only another user can determine it, PyCloudError where the file cannot be read.
    """
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while _is_locked(path):
        pid = file_lock.content(path)
        if type(pid) is int and _has_open(pid, path):
            return Holder(pid)
        if time.monotonic() > deadline:
            return Holder(None)
        time.sleep(file_lock.RETRY_INTERVAL)
    return None


def _is_locked(path: Path) -> bool:
    try:
        return file_lock.is_locked(path)
    except PermissionError as error:
        raise PermissionDenied(f"may not read {path}: it belongs to another user (try sudo)") from error
    except OSError as error:
        raise PyCloudError(f"cannot read {path}: {error.strerror}") from error


def _has_open(pid: int, path: Path) -> bool:
    """Whether this process has the file open, and so is the one that wrote its pid there.

    Another user's process cannot be inspected; it cannot be signalled from here either, so its pid is trusted.
    """
    try:
        return file_lock.has_open(pid, path)
    except PermissionError:
        return True
