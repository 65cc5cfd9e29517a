"""One keeper per data directory, and where it listens: a locked file that says so.

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
PATIENCE = 5.0  # seconds for a predecessor that is about to end


class LockedError(Exception):
    """Another keeper holds the data directory."""


def acquire(data_dir: Path, patience: float = PATIENCE) -> int:
    """The descriptor that holds the lock, for as long as it is open. Raises LockedError, OSError."""
    fd = os.open(data_dir / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                holder = os.pread(fd, 4096, 0).decode(errors="replace").strip()
                os.close(fd)
                raise LockedError(f"another keeper holds {data_dir}: {holder or 'it has not said more yet'}") from error
            time.sleep(0.02)
        else:
            return fd


def announce(fd: int, socket: Path, version: int) -> None:
    """Write down who holds the lock and where it listens. Raises OSError."""
    line = json.dumps({"pid": os.getpid(), "socket": str(socket), "version": version}).encode() + b"\n"
    os.ftruncate(fd, 0)
    os.pwrite(fd, line, 0)


def withdraw(fd: int) -> None:
    """Let the lock go; the file then names nobody."""
    os.ftruncate(fd, 0)
    os.close(fd)


def holder(data_dir: Path) -> dict[str, Any] | None:
    """What the keeper of this data directory announced: pid, socket, version. None when there is nothing to read.

    It may be a keeper that was killed: only connecting tells.
    """
    try:
        said = json.loads((data_dir / NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None
