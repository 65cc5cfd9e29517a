"""Directories: those that other users get through, and copies of this tree."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE = (".git", ".venv", ".pycloud", ".hypothesis", ".*_cache", "__pycache__", "build", "dist", "*.egg-info")


def copy_of_tree(to: Path) -> Path:
    """Copy what a fresh checkout would have, with what is not committed yet; where it is."""
    return Path(shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(*MADE)))


def let_others_pass(folder: Path) -> None:
    """Open ``folder``, which is a test's ``tmp_path``, and what pytest put above it: others may pass, and list nothing.

    Above it there are a directory of the worker (where there are several), one of the run and one of the user.
    """
    for path in (folder, *list(folder.parents)[:3]):
        known = path.stat()
        if known.st_uid == os.geteuid() and not known.st_mode & 0o001:
            path.chmod(known.st_mode | 0o011)
