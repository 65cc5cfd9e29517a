"""Files that are locked (flock) as long as a process runs; above all ``keeper.lock``: one keeper per data directory.

The lock is authoritative, the file's content only names its holder: a process that crashed leaves no lock, so its file
never blocks a start. A lock file is never unlinked: a process that waits for the lock of an unlinked file would get it
while another one creates the file anew.

May touch: ``keeper.lock`` in the data directory, and the lock files that it is given.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

NAME = "keeper.lock"
LOCK_TIMEOUT = 5.0  # seconds to wait for a predecessor that is about to end
RETRY_INTERVAL = 0.01  # seconds between two attempts to lock
#: Accessible by the owner only: a process that can open the file can lock it, and so keep a keeper from starting.
MODE = 0o600


class LockedError(Exception):
    """Another keeper holds the data directory."""


def open_locked(path: Path, timeout: float, line: str | None = None) -> int | None:
    """Lock this file, creating it if necessary; return the descriptor, which holds the lock as long as it is open.

    ``line`` replaces the contents, unless it is None. Return None when another process still holds the lock after
    ``timeout`` seconds. Raises OSError.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        os.fchmod(fd, MODE)
        if lock_within(fd, timeout):
            if line is not None:
                write(fd, line)
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def lock_within(fd: int, timeout: float) -> bool:
    """Try to lock an open file for ``timeout`` seconds; return whether that succeeded."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(RETRY_INTERVAL)
        else:
            return True


def write(fd: int, line: str) -> None:
    """Replace the contents of a locked file by this line. Raises OSError."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{line}\n".encode(), 0)


def acquire(data_dir: Path, timeout: float = LOCK_TIMEOUT) -> int:
    """Return the descriptor that holds the keeper's lock as long as it is open. Raises LockedError, OSError."""
    fd = open_locked(data_dir / NAME, timeout)
    if fd is None:
        holder_info = (data_dir / NAME).read_text(errors="replace").strip()
        raise LockedError(f"another keeper holds {data_dir}: {holder_info or 'its pid is not known yet'}")
    return fd


def announce(fd: int, socket: Path, version: int) -> None:
    """Write the pid of the lock's holder and its socket into the lock file. Raises OSError."""
    write(fd, json.dumps({"pid": os.getpid(), "socket": str(socket), "version": version}))


def release(fd: int) -> None:
    """Release the lock and empty the file."""
    os.ftruncate(fd, 0)
    os.close(fd)


def is_held(data_dir: Path) -> bool:
    """Return whether a keeper holds this data directory now. Raises OSError where that cannot be checked."""
    return is_locked(data_dir / NAME)


def is_locked(path: Path) -> bool:
    """Return whether a process holds a lock on this file now. Raises OSError where that cannot be checked."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def holder(data_dir: Path) -> dict[str, Any] | None:
    """Return what the keeper that holds this data directory announced: pid, socket, version. Raises OSError.

    Return None when there is no keeper, or it has announced nothing yet. Only the lock is trusted, not the file alone:
    that of a keeper that was killed, or of a copied directory, is ignored. ``pid`` is left out where it cannot be
    verified.
    """
    path = data_dir / NAME
    info = content(path) if is_locked(path) else None
    if not isinstance(info, dict):
        return None
    pid = info.get("pid")
    if isinstance(pid, int) and has_open(pid, path):
        return info
    return {name: value for name, value in info.items() if name != "pid"}


def content(path: Path) -> Any:
    """Return the JSON value in a lock file; None where there is no file, or no JSON in it. Raises OSError."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def has_open(pid: int, path: Path) -> bool:
    """Return whether this process has this file open. Raises PermissionError where it may not be inspected."""
    wanted = path.stat()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found = entry.stat()
            except FileNotFoundError:
                continue  # closed meanwhile, or a pipe
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    except (FileNotFoundError, ProcessLookupError):
        return False  # the process is gone
    return False
