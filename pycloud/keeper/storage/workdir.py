"""The working directory of a session: its creation, and its removal whatever the session did to it.

May touch: the directory that it is given. Never follows a symbolic link.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from pycloud.keeper.system.exec_command import UserIds

SCRIPT = "pycloud.init"
INFO = "pycloud.json"

#: One key per line, without the encoder's option ``indent``, which is slow.
_encoder = json.JSONEncoder(separators=(",\n ", ": "))

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASSES = 100  # another process of the same user may continue to write during a removal
_SMALL_ENTRIES = 8
_SMALL_BYTES = 16 * 1024 * 1024
_BLOCK = 512  # bytes: the unit of ``st_blocks``


def create(directory: str, script: str, info: dict[str, Any], owner: UserIds | None) -> None:
    """Create ``directory`` (0700) with the script (0700) and ``info`` as JSON (0600), all owned by ``owner``.

    The directory changes its owner last: until then, only the keeper can replace the files. Raises OSError.
    """
    os.mkdir(directory, mode=0o700)
    _write(f"{directory}/{SCRIPT}", script.encode(), 0o700, owner)
    _write(f"{directory}/{INFO}", _encoder.encode(info).encode() + b"\n", 0o600, owner)
    if owner is not None:
        os.chown(directory, owner.uid, owner.gid)


def _write(path: str, data: bytes, mode: int, owner: UserIds | None) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        while data:
            data = data[os.write(fd, data) :]
        os.fchmod(fd, mode)
        if owner is not None:
            os.fchown(fd, owner.uid, owner.gid)
    finally:
        os.close(fd)


def remove_small(path: str) -> bool:
    """Remove a path if that is fast: a small file, or a directory with a few of them; a missing path is no error.

    Return False if the path is larger or cannot be removed like this; some of it may be left: see ``remove``.
    """
    try:
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            return _remove_small_directory(path)
        if status.st_blocks * _BLOCK <= _SMALL_BYTES:
            os.unlink(path)
            return True
    except FileNotFoundError:
        return True
    except OSError:
        return False  # ``remove`` handles it, or raises the error
    return False


def _remove_small_directory(path: str) -> bool:
    top, weight, names = os.open(path, _DIRECTORY), 0, list[str]()
    try:
        with os.scandir(top) as entries:
            for entry in entries:
                if len(names) == _SMALL_ENTRIES or entry.is_dir(follow_symlinks=False):
                    return False
                weight += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                names.append(entry.name)
        if weight > _SMALL_BYTES:
            return False
        for name in names:
            os.unlink(name, dir_fd=top)
    except FileNotFoundError:
        return False  # another process removes files here: the directory may not be empty yet
    finally:
        os.close(top)
    os.rmdir(path)
    return True


def remove(path: str) -> None:
    """Remove a file, a link, or a directory with its contents; a missing path is no error. Raises OSError.

    Two descriptors suffice however deep the tree is: directories found inside a directory are first moved up.
    """
    if not _is_directory(path):
        with suppress(FileNotFoundError):
            os.unlink(path)
        return
    top = _open_directory(path)
    try:
        for _ in range(_PASSES):
            _empty(top)
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
            else:
                return
    finally:
        os.close(top)
    raise OSError(errno.ENOTEMPTY, "a process keeps writing into the directory", path)


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _empty(top: int) -> None:
    """Remove everything that is in the directory ``top`` now."""
    waiting = _remove_files(top)
    prefix = f".removing-{os.urandom(8).hex()}"  # a name that no existing entry can have
    serial = 0
    while waiting:
        name = waiting.pop()
        inner = _open_directory(name, top)
        try:
            for below in _remove_files(inner):
                serial += 1
                waiting.append(_move_up(below, inner, f"{prefix}-{serial}", top))
        finally:
            os.close(inner)
        with suppress(FileNotFoundError):
            _remove_directory(name, top)


def _remove_directory(name: str, top: int) -> None:
    try:
        os.rmdir(name, dir_fd=top)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise  # not empty: another process wrote into it, and the next pass finds that


def _move_up(name: str, inner: int, new_name: str, top: int) -> str:
    """Move a directory up. This changes its ``..``, for which its owner needs write permission on it."""
    os.close(_open_directory(name, inner))
    os.rename(name, new_name, src_dir_fd=inner, dst_dir_fd=top)
    return new_name


def _remove_files(directory: int) -> list[str]:
    """Remove all entries that are not directories; return the names of the directories."""
    inner = []
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            inner.append(name)
        else:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
    return inner


def _open_directory(name: str, parent: int | None = None) -> int:
    """Open a directory to remove its contents, after restoring missing permissions of its owner."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        status = os.fstat(handle)
        if stat.S_IMODE(status.st_mode) & 0o700 != 0o700 and status.st_uid == os.geteuid():
            Path(f"/proc/self/fd/{handle}").chmod(0o700)
    finally:
        os.close(handle)
    return os.open(name, _DIRECTORY, dir_fd=parent)
