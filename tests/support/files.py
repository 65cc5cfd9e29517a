"""Files as tests write them, and what they take of the disk."""

from __future__ import annotations

from pathlib import Path


def append(path: Path, data: bytes) -> None:
    """Write ``data`` at the end of the file, which is made if it is not there."""
    with path.open("ab") as file:
        file.write(data)


def bytes_on_disk(path: Path) -> int:
    """What the file takes, holes left out."""
    return path.stat().st_blocks * 512
