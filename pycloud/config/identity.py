"""The node's identity: its id, created once and stored in the data directory, and the current run of its daemon."""

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

ID_FILE, INSTANCE_FILE = "cloud-id", "instance"
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
_ID_PATTERN = re.compile(r"[0-9a-f]{10}")


@dataclass(frozen=True)
class Identity:
    """``id`` is the node's; ``instance`` is new at each start.

    ``default_host`` is the host of its sessions unless ``lookup_host`` returns another one.
    """

    id: str
    default_host: str
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    lookup_host: Callable[[], str | None] = lambda: None

    @property
    def host(self) -> str:
        """The host at which requesters reach its sessions."""
        return self.lookup_host() or self.default_host


def node_id(data_dir: Path) -> str:
    """The id stored in ``data_dir``, created at the first call. Raises ConfigError where that fails."""
    path = data_dir / ID_FILE
    try:
        stored = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else _write_new_id(path)
    except OSError as error:
        raise ConfigError(f"the node id cannot be stored in {path}: {error.strerror}") from error
    if not _ID_PATTERN.fullmatch(stored):
        raise ConfigError(f"{path} does not contain a node id (10 hex digits); restore it, or delete it for a new id")
    return stored


def previous_instance(data_dir: Path) -> str:
    """The instance of the last daemon that ran on this very data directory since the host was booted.

    Empty where there was none, or where the directory is a copy.
    """
    try:
        stored = json.loads((data_dir / INSTANCE_FILE).read_text(encoding="utf-8"))
        return str(stored["instance"]) if stored["place"] == _directory_fingerprint(data_dir) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def save_instance(data_dir: Path, instance: str) -> None:
    """Store the running instance for the next daemon. Raises ConfigError."""
    temporary = data_dir / f"{INSTANCE_FILE}.new"
    try:
        temporary.write_text(
            json.dumps({"instance": instance, "place": _directory_fingerprint(data_dir)}), encoding="utf-8"
        )
        temporary.rename(data_dir / INSTANCE_FILE)
    except OSError as error:
        raise ConfigError(f"{data_dir / INSTANCE_FILE} cannot be written: {error.strerror}") from error


def _directory_fingerprint(data_dir: Path) -> str:
    """A fingerprint that a copy does not share: the directory's device and inode, and the host's boot id."""
    found = data_dir.stat()
    return f"{found.st_dev}:{found.st_ino}:{BOOT_ID_FILE.read_text().strip()}"


def regenerate_id(data_dir: Path) -> str:
    """Replace the id stored in ``data_dir`` by a new one, and return that. Raises OSError."""
    return _write_new_id(data_dir / ID_FILE)


def _write_new_id(path: Path) -> str:
    """Write a new id to a temporary file and rename it: a crash leaves no partial file."""
    made, temporary = new_id(), path.with_suffix(".new")
    with temporary.open("w") as file:
        file.write(made + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    return made
