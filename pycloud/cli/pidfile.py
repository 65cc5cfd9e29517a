"""Files that are locked for as long as a daemon lives, and hold its pid.

The lock (flock) is the truth, the pid in the file only names its holder: a daemon that crashed leaves no lock, so its
file is never an obstacle, and a pid that was given to another process is never believed. The file is never unlinked:
whoever waits for the lock of an unlinked file would get it while another one creates the file anew.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pycloud.errors import AlreadyRunning, PyCloudError
from pycloud.keeper.system import file_lock

#: How long a lock may be held by a process that has not yet written its pid, or by one that is only looking.
_LOCK_TIMEOUT = 0.5
_POLL_INTERVAL = 0.01


class PermissionDenied(PyCloudError):
    """The file belongs to another user, so nobody can tell from here whether it is locked."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. ``pid`` is None when it cannot be told (another container, another host)."""

    pid: int | None


class PidFile:
    """One such file. Take it in the process that is to hold it: a fork shares the lock, exec gives it up.

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
            # For a moment: somebody who asks for the holder locks the file for an instant too.
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
        """Empty the file and give up the lock. Does nothing when it is not held."""
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
    """Who holds the lock of this file now; None when nobody does.

    Raises MayNotLook where only another user could tell, PyCloudError where the file cannot be read.
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

    Another user's process cannot be looked into; it cannot be signalled by us either, so that its pid is believed.
    """
    try:
        return file_lock.has_open(pid, path)
    except PermissionError:
        return True
