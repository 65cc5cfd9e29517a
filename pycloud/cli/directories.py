"""Creates the data and run directories with the modes that they need, whatever the umask. Called by ``app.py``."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from pycloud.config import Config
from pycloud.errors import ConfigError, PyCloudError

#: Other users may traverse the data directory to reach the directory of their session, but not list it.
DATA_MODE, RUN_MODE, PARENT_MODE = 0o711, 0o755, 0o755


def prepare(config: Config) -> None:
    """Create both directories where they are missing.

    Raises PyCloudError where one cannot be created, ConfigError where ``run_as`` cannot traverse the data directory.
    """
    try:
        _make(config.data_dir, DATA_MODE)
        _make(config.run_dir, RUN_MODE)
        closed = config.run_as and _closed_to(config.run_as, config.data_dir)
    except OSError as error:
        raise PyCloudError(f"cannot create the directory {error.filename}: {error.strerror}") from error
    if closed:
        raise ConfigError(f"run_as: {config.run_as} cannot traverse {closed}; allow it with: chmod o+x {closed}")


def _make(path: Path, mode: int) -> None:
    """Create a directory and its parents; existing ones are left unchanged."""
    if path.is_dir():
        return
    if not path.parent.exists():
        _make(path.parent, PARENT_MODE)
    path.mkdir(exist_ok=True)
    path.chmod(mode)


def _closed_to(user: str, path: Path) -> Path | None:
    """The first directory on the path that ``user`` may not traverse; None where all are open."""
    entry = pwd.getpwnam(user)
    groups = {entry.pw_gid, *(group.gr_gid for group in grp.getgrall() if user in group.gr_mem)}
    for directory in [*reversed(path.parents), path]:
        if not _may_pass(directory.stat(), entry.pw_uid, groups):
            return directory
    return None


def _may_pass(about: os.stat_result, uid: int, groups: set[int]) -> bool:
    """Whether the mode allows traversal. As in the kernel, the first matching class of owner, group, others decides.

    ACLs are not evaluated.
    """
    if uid == 0:
        return True
    shift = 6 if about.st_uid == uid else 3 if about.st_gid in groups else 0
    return bool(about.st_mode >> shift & 1)
