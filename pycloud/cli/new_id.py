"""``--new-id``: gives the node in a copied data directory an id of its own.

Files of the old id are moved aside, because the original node supervises and ends those sessions: nothing is deleted,
and no process is touched. No gevent, no Redis.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from pycloud.cli.pidfile import PidFile
from pycloud.config import Config
from pycloud.config.identity import ID_FILE, node_id, regenerate_id
from pycloud.errors import PyCloudError
from pycloud.keeper.system import file_lock

#: Directories that a keeper or a container runtime would take for their own sessions.
SESSION_DIRS = ("work", "state", "logs", "docker", "plugins")
#: Files with an operator's commands to the original node, which do not apply to the copy.
OPERATOR_FILES = ("draining",)


def new_id(config: Config) -> int:
    """Give the node in this data directory a new id; returns the exit code.

    Raises AlreadyRunning and PyCloudError where a daemon or a keeper holds the directory, or it cannot be written.
    """
    data = config.data_dir
    if not (data / ID_FILE).exists():
        raise PyCloudError(f"{data} holds no node yet: a new node gets an id of its own at its first start")
    with (
        PidFile(config.lock_file, f"uses the data directory {data}: stop it first (pycloud --stop)"),
        _holding_keeper_lock(data),
    ):
        old = node_id(data)
        try:
            aside = _move_aside(data, old)
            new = regenerate_id(data)
        except OSError as error:
            raise PyCloudError(f"cannot write {error.filename or data}: {error.strerror}") from error
    print(f"the node's id was {old} and is now {new}; the files of {old} are in {aside}")
    return 0


@contextmanager
def _holding_keeper_lock(data: Path) -> Iterator[None]:
    """Hold the keeper's lock, so that no keeper can start meanwhile."""
    try:
        lock = file_lock.acquire(data, timeout=0.5)
    except file_lock.LockedError:
        advice = "end its sessions first (pycloud --stop --on-stop remove), or use --new-id on a copy of it"
        raise PyCloudError(f"a keeper supervises sessions in {data}: {advice}") from None
    except OSError as error:
        raise PyCloudError(f"cannot write {data / file_lock.NAME}: {error.strerror}") from error
    try:
        yield
    finally:
        file_lock.release(lock)


def _move_aside(data: Path, old: str) -> Path:
    """Move the files of the old id; returns the directory that holds them now. Raises OSError.

    After an interruption it may be repeated: it then moves the rest.
    """
    names = [name for name in (*SESSION_DIRS, *OPERATOR_FILES) if (data / name).exists()]
    base = f"before-new-id-{old}"
    candidates = (data / (base if number == 1 else f"{base}-{number}") for number in count(1))
    aside = next(candidate for candidate in candidates if not any((candidate / name).exists() for name in names))
    aside.mkdir(mode=0o700, exist_ok=True)
    for name in names:
        (data / name).rename(aside / name)
    return aside
