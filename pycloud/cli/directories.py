"""The data and run directories, made with the modes that they need whatever the umask says. Called by ``app.py``."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from pycloud.config import Config
from pycloud.errors import ConfigError, PyCloudError

#: Others may pass through to reach the directory of their session, but not look around.
DATA_MODE, RUN_MODE, PARENT_MODE = 0o711, 0o755, 0o755


def prepare(config: Config) -> None:
    """Make both where they are missing. Raises PyCloudError; ConfigError where ``run_as`` could not get through."""
    try:
        _make(config.data_dir, DATA_MODE)
        _make(config.run_dir, RUN_MODE)
        closed = config.run_as and _closed_to(config.run_as, config.data_dir)
    except OSError as error:
        raise PyCloudError(f"cannot make the directory {error.filename}: {error.strerror}") from error
    if closed:
        raise ConfigError(f"run_as: {config.run_as} cannot pass through {closed}; allow it with: chmod o+x {closed}")


def _make(path: Path, mode: int) -> None:
    """What exists is left as it is."""
    if path.is_dir():
        return
    if not path.parent.exists():
        _make(path.parent, PARENT_MODE)
    path.mkdir(exist_ok=True)
    path.chmod(mode)


def _closed_to(user: str, path: Path) -> Path | None:
    """The first directory on the way to ``path`` that ``user`` may not pass through; None where all are open."""
    entry = pwd.getpwnam(user)
    groups = {entry.pw_gid, *(group.gr_gid for group in grp.getgrall() if user in group.gr_mem)}
    for directory in [*reversed(path.parents), path]:
        if not _may_pass(directory.stat(), entry.pw_uid, groups):
            return directory
    return None


def _may_pass(about: os.stat_result, uid: int, groups: set[int]) -> bool:
    """As the kernel decides: the first class that fits counts, owner, group or others (ACLs are not looked at)."""
    if uid == 0:
        return True
    shift = 6 if about.st_uid == uid else 3 if about.st_gid in groups else 0
    return bool(about.st_mode >> shift & 1)
