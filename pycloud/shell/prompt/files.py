"""Names of files, as one types them."""

from __future__ import annotations

import os
from pathlib import Path

from pycloud.shell.prompt.fuzzy import best_matches

#: So many names of a directory are looked at: it may hold millions.
MAX_SCANNED = 2000


def file_names(word: str) -> list[str]:
    """The files and directories that ``word`` may be the beginning of, as it would be spelled in full.

    Directories end with a slash. Hidden ones only where the dot was typed. Never raises.
    """
    folder, slash, beginning = word.rpartition("/")
    where = Path(folder + slash or ".")
    names: dict[str, str] = {}
    try:
        with os.scandir(where.expanduser()) as entries:
            for entry, _ in zip(entries, range(MAX_SCANNED), strict=False):
                if entry.name.startswith(".") == beginning.startswith(".") and entry.name.isprintable():
                    names[entry.name] = "/" if entry.is_dir() else ""
    except (OSError, RuntimeError):  # RuntimeError: no such home directory
        return []
    return [f"{folder}{slash}{name}{names[name]}" for name in best_matches(beginning, sorted(names))]
