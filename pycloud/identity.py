"""Who this cloud is: its id, made once and kept in the data directory, and the one run of its daemon."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from pycloud.errors import ConfigError
from pycloud.sessions import new_id

FILE = "cloud-id"
_FORM = re.compile(r"[0-9a-f]{10}")


@dataclass(frozen=True)
class Identity:
    """``id`` is the cloud's; ``host`` is where requesters find its sessions; ``instance`` is new at each start."""

    id: str
    host: str
    instance: str = field(default_factory=lambda: secrets.token_hex(8))


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
