"""Files that are locked during the lifetime of a daemon and hold its pid.

The lock (flock) is authoritative, the pid in the file only names its holder: a daemon that crashed leaves no lock, so
its file never blocks a start, and a pid that was reused by another process is never trusted. The file is never
unlinked: a process that waits for the lock of an unlinked file would get it while another one creates the file anew.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pycloud.errors import AlreadyRunning, PyCloudError
from pycloud.keeper.system import file_lock

#: Seconds that a lock may be held by a process that has not written its pid yet, or that only inspects the file.
_LOCK_TIMEOUT = 0.5
_POLL_INTERVAL = 0.01


class PermissionDenied(PyCloudError):
    """The file belongs to another user, so this user cannot determine whether it is locked."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock. ``pid`` is None where it is not visible (another container, another host)."""

    pid: int | None


class PidFile:
    """One pid file. Lock it in the process that is to hold it: a fork shares the lock, exec releases it.

    Usable as a context manager. ``purpose`` completes "another pycloud (pid N) ...", as in "uses /var/lib/pycloud".
    """

    def __init__(self, path: Path, purpose: str) -> None:
        self.path = path
        self._purpose = purpose
        self._fd: int | None = None

    def acquire(self) -> None:
        """Lock the file and write this process' pid; its directory must exist.

        Raises AlreadyRunning, naming the holder; PyCloudError where the file cannot be written.
        """
        try:
            # The timeout covers processes that inspect the holder: they lock the file for an instant too.
            self._fd = file_lock.open_locked(self.path, _LOCK_TIMEOUT)
            if self._fd is not None:
                file_lock.write(self._fd, str(os.getpid()))
        except OSError as error:
            self._close()
            raise PyCloudError(f"cannot write {self.path}: {error.strerror}") from error
        if self._fd is None:
            existing = holder(self.path)
            who = f"pid {existing.pid}" if existing and existing.pid else "its pid is not known here"
            raise AlreadyRunning(f"another pycloud ({who}) {self._purpose}")

    def release(self) -> None:
        """Empty the file and release the lock. Does nothing when it is not held."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            self._close()

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> PidFile:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder(path: Path) -> Holder | None:
    """The holder of the lock of this file; None where it is not locked.

    Raises PermissionDenied where only another user can determine it, PyCloudError where the file cannot be read.
    """
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while _is_locked(path):
        pid = _pid_in(path)
        if pid is not None and _has_open(pid, path):
            return Holder(pid)
        if time.monotonic() > deadline:
            return Holder(None)
        time.sleep(_POLL_INTERVAL)
    return None


def _is_locked(path: Path) -> bool:
    try:
        return file_lock.is_locked(path)
    except PermissionError as error:
        raise PermissionDenied(f"may not look at {path}: it belongs to another user (try sudo)") from error
    except OSError as error:
        raise PyCloudError(f"cannot read {path}: {error.strerror}") from error


def _pid_in(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None


def _has_open(pid: int, path: Path) -> bool:
    """Whether this process has the file open, and so is the one that wrote its pid there.

    Another user's process cannot be inspected; it cannot be signalled from here either, so its pid is trusted.
    """
    try:
        return file_lock.has_open(pid, path)
    except PermissionError:
        return True
