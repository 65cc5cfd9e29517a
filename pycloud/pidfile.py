"""Files that are locked for as long as a daemon lives, and hold its pid.

The lock (flock) is the truth, the pid in the file only names its holder: a daemon that crashed leaves no lock, so its
file is never an obstacle, and a pid that was given to another process is never believed. The file is never unlinked:
whoever waits for the lock of an unlinked file would get it while another one creates the file anew.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pycloud.errors import AlreadyRunning, PyCloudError

#: How long a lock may be held by a process that has not yet written its pid, or by one that is only looking.
_MOMENT = 0.5
_PAUSE = 0.01


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
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise PyCloudError(f"cannot write {self.path}: {error.strerror}") from error
        if not _locked_in_a_moment(fd):
            os.close(fd)
            taken = holder(self.path)
            who = f"pid {taken.pid}" if taken and taken.pid else "its pid is not known here"
            raise AlreadyRunning(f"another pycloud ({who}) {self._purpose}")
        self._fd = fd
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Empty the file and give up the lock. Does nothing when it is not held."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
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
    """Who holds the lock of this file now; None when nobody does. PyCloudError when the file cannot be read."""
    deadline = time.monotonic() + _MOMENT
    while _is_locked(path):
        pid = _pid_in(path)
        if pid is not None and _has_open(pid, path):
            return Holder(pid)
        if time.monotonic() > deadline:
            return Holder(None)
        time.sleep(_PAUSE)
    return None


def _locked_in_a_moment(fd: int) -> bool:
    """Lock it, trying for a moment: somebody who asks for the holder locks it for an instant too."""
    deadline = time.monotonic() + _MOMENT
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
        else:
            return True


def _is_locked(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise PyCloudError(f"cannot read {path}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


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
    wanted = path.stat()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found = entry.stat()
            except FileNotFoundError:
                continue  # closed meanwhile, or a pipe
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    except PermissionError:
        return True
    except (FileNotFoundError, ProcessLookupError):
        return False  # it is gone
    return False
