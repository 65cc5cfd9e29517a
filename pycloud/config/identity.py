"""Who this cloud is: its id, made once and kept in the data directory, and the one run of its daemon."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pycloud.errors import ConfigError
from pycloud.protocol.session import new_id

FILE, MARK = "cloud-id", "instance"
BOOT = Path("/proc/sys/kernel/random/boot_id")
_FORM = re.compile(r"[0-9a-f]{10}")


@dataclass(frozen=True)
class Identity:
    """``id`` is the cloud's; ``instance`` is new at each start.

    ``name`` is where requesters find its sessions, unless ``find_name`` knows better by the time it is asked.
    """

    id: str
    name: str
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    find_name: Callable[[], str | None] = lambda: None

    @property
    def host(self) -> str:
        """Where requesters find its sessions."""
        return self.find_name() or self.name


def cloud_id(data_dir: Path) -> str:
    """The id kept in ``data_dir``, made at the first call. Raises ConfigError where it cannot be read or made."""
    path = data_dir / FILE
    try:
        kept = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else _make(path)
    except OSError as error:
        raise ConfigError(f"the cloud's id in {path} cannot be kept: {error.strerror}") from error
    if not _FORM.fullmatch(kept):
        raise ConfigError(f"{path} does not hold a cloud's id (10 hex digits); put it back, or remove it for a new one")
    return kept


def predecessor(data_dir: Path) -> str:
    """The instance of the daemon that ran on this very data directory before, since the host was started.

    Empty where there was none, or where the directory is a copy.
    """
    try:
        kept = json.loads((data_dir / MARK).read_text(encoding="utf-8"))
        return str(kept["instance"]) if kept["place"] == _place(data_dir) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def leave_mark(data_dir: Path, instance: str) -> None:
    """Let the next daemon know which instance ran here. Raises ConfigError."""
    beside = data_dir / f"{MARK}.new"
    try:
        beside.write_text(json.dumps({"instance": instance, "place": _place(data_dir)}), encoding="utf-8")
        beside.rename(data_dir / MARK)
    except OSError as error:
        raise ConfigError(f"{data_dir / MARK} cannot be written: {error.strerror}") from error


def _place(data_dir: Path) -> str:
    """What a copy does not share with its original: the directory itself, and the host since its start."""
    found = data_dir.stat()
    return f"{found.st_dev}:{found.st_ino}:{BOOT.read_text().strip()}"


def renew(data_dir: Path) -> str:
    """Replace the id kept in ``data_dir`` by a new one, and return that. Raises OSError."""
    return _make(data_dir / FILE)


def _make(path: Path) -> str:
    """Written beside and renamed: a crash leaves no half of it."""
    made, beside = new_id(), path.with_suffix(".new")
    with beside.open("w") as file:
        file.write(made + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    return made
