"""Files that are locked for as long as a process lives. One of them: one keeper per data directory, where it listens.

May touch: ``keeper.lock`` in the data directory.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

NAME = "keeper.lock"
LOCK_TIMEOUT = 5.0  # seconds for a predecessor that is about to end
RETRY_INTERVAL = 0.01  # seconds between two attempts to lock
#: Nobody else's to open: whoever can open a file can lock it, and so keep everybody else from starting.
MODE = 0o600


class LockedError(Exception):
    """Another keeper holds the data directory."""


def open_locked(path: Path, timeout: float) -> int | None:
    """Lock this file, made where there is none: the descriptor that holds the lock for as long as it is open.

    None when somebody else still has it after ``patience`` seconds. Raises OSError.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        os.fchmod(fd, MODE)
        if lock_within(fd, timeout):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def lock_within(fd: int, timeout: float) -> bool:
    """Lock an open file, trying for ``patience`` seconds; whether that was possible."""
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
    """Let a locked file say this line and nothing else. Raises OSError."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{line}\n".encode(), 0)


def acquire(data_dir: Path, timeout: float = LOCK_TIMEOUT) -> int:
    """The descriptor that holds the keeper's lock, for as long as it is open. Raises LockedError, OSError."""
    fd = open_locked(data_dir / NAME, timeout)
    if fd is None:
        holder_info = (data_dir / NAME).read_text(errors="replace").strip()
        raise LockedError(f"another keeper holds {data_dir}: {holder_info or 'it has not said more yet'}")
    return fd


def announce(fd: int, socket: Path, version: int) -> None:
    """Write down who holds the lock and where it listens. Raises OSError."""
    write(fd, json.dumps({"pid": os.getpid(), "socket": str(socket), "version": version}))


def release(fd: int) -> None:
    """Let the lock go; the file then names nobody."""
    os.ftruncate(fd, 0)
    os.close(fd)


def is_held(data_dir: Path) -> bool:
    """Whether a keeper holds this data directory now. Raises OSError where that cannot be seen."""
    return is_locked(data_dir / NAME)


def is_locked(path: Path) -> bool:
    """Whether somebody has this file locked now. Raises OSError where that cannot be seen."""
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
    """What the keeper that holds this data directory announced: pid, socket, version. Raises OSError.

    None when there is no keeper, or it has said nothing yet. Only the lock is believed: the file of a keeper that was
    killed, or that came with a copy of the directory, says nothing. ``pid`` is left out where it cannot be verified.
    """
    if not is_held(data_dir):
        return None
    path = data_dir / NAME
    try:
        info = json.loads(path.read_bytes())
    except ValueError:
        return None
    if not isinstance(info, dict):
        return None
    pid = info.get("pid")
    if isinstance(pid, int) and has_open(pid, path):
        return info
    return {name: value for name, value in info.items() if name != "pid"}


def has_open(pid: int, path: Path) -> bool:
    """Whether this process has this file open. Raises PermissionError where it may not be looked into."""
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
        return False  # it is gone
    return False
