"""Chooses a port for a session, so that no two sessions on this host get the same one.

A port is free when it can be bound for TCP and UDP, for IPv4 and IPv6, at this moment. A lock on a file per port, in a
directory that all nodes of the host share, prevents others from choosing it: the session inherits the locked
descriptor, so the lock exists exactly as long as the session's processes, and needs no cleanup.

May touch: that directory, and sockets that it closes again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import stat
from collections.abc import Collection, Generator
from contextlib import closing, suppress
from pathlib import Path

ATTEMPTS = 200  # attempts to get a port from the system

Kinds = tuple[socket.SocketKind, ...]
#: A port, and the kinds of sockets for which it must still be checked to be free.
Candidate = tuple[int, Kinds]

_UDP = (socket.SOCK_DGRAM,)
_BOTH = (socket.SOCK_STREAM, *_UDP)
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class NoPortError(Exception):
    """No port is free; the text names the range that was searched."""


def default_directory() -> Path:
    """Return the directory of this host's lock files."""
    shared = Path("/run/lock")
    try:
        usable = stat.S_IMODE(shared.stat().st_mode) == 0o1777
    except OSError:
        usable = False
    return (shared if usable else Path("/tmp")) / "pycloud-ports"  # noqa: S108 - created sticky, see prepare()


def prepare(directory: Path) -> None:
    """Create the shared directory, writable for every user of the host but sticky. Raises OSError."""
    if os.path.isdir(directory):
        return
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        return
    directory.chmod(0o1777)


def choose(directory: Path, bounds: tuple[int, int] | None, taken: Collection[int]) -> tuple[int, int]:
    """Return a free port and the descriptor that holds its lock.

    The session inherits the descriptor, and the caller closes it. ``bounds`` are the lowest and highest port allowed,
    None for the system's choice; ports in ``taken`` are skipped. Raises NoPortError, and OSError when the directory
    cannot be created.
    """
    prepare(directory)
    with closing(_system_offered() if bounds is None else _in_range(*bounds)) as candidates:
        for port, kinds in candidates:
            if port not in taken and (lock := _claim(directory, port, kinds)) is not None:
                return port, lock
    if bounds is None:
        raise NoPortError("the system offers no port that is free for both TCP and UDP")
    raise NoPortError(f"none of the ports {bounds[0]} to {bounds[1]} is free")


def _in_range(low: int, high: int) -> Generator[Candidate]:
    start = random.randint(low, high)  # nodes that share a range must not all try the same port first
    for port in (*range(start, high + 1), *range(low, start)):
        yield port, _BOTH


def _system_offered() -> Generator[Candidate]:
    """Yield ports that the system offers, each bound for TCP until the next is requested."""
    for _ in range(ATTEMPTS):
        try:
            held = _bound_socket(socket.SOCK_STREAM, 0)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return  # it has none left
            raise
        with held:
            yield held.getsockname()[1], _UDP


def _claim(directory: Path, port: int, kinds: Kinds) -> int | None:
    """Return the lock's descriptor if the lock was free and the port is free for ``kinds``; else None."""
    lock = _lock(f"{directory}/{port}")
    if lock is None:
        return None
    try:
        if is_free(port, kinds):
            return lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _lock(path: str) -> int | None:
    if not os.path.lexists(path):
        _create_lock_file(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None  # another user's link or private file: that port is not available
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def _create_lock_file(path: str) -> None:
    # No O_CREAT on an existing file: in a sticky directory the kernel may refuse that to other users (and to root).
    with suppress(FileExistsError):
        created = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        os.fchmod(created, 0o644)
        os.close(created)


def is_free(port: int, kinds: Kinds = _BOTH) -> bool:
    """Return whether the port can be bound now for all ``kinds``, on IPv4 and, where the host has it, IPv6."""
    try:
        for kind in kinds:
            _bound_socket(kind, port).close()
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise
    return True


def _bound_socket(kind: socket.SocketKind, port: int) -> socket.socket:
    """Return a socket bound to this port, for IPv4 and IPv6 where the host has both. Raises OSError."""
    try:
        return _open(socket.AF_INET6, kind, port)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
    return _open(socket.AF_INET, kind, port)


def _open(family: socket.AddressFamily, kind: socket.SocketKind, port: int) -> socket.socket:
    opened = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind(("", port))
    except BaseException:
        opened.close()
        raise
    return opened
