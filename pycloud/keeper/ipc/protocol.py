"""What the daemon and its keeper say to each other: version, operations, lines, and how they find the socket.

JSON objects, one per line, both ways. A request carries ``op`` and, when it wants an answer, ``seq``; the answer
carries the same ``seq`` and either the result's keys or ``error: {code, message}``, with ``passing: true`` where the
same request may succeed soon. An event carries ``event`` and no ``seq``. The daemon imports this file too: standard
library only, nothing happens on import.

=========  ==============================================================================  ==========================
operation  request                                                                         answer
=========  ==============================================================================  ==========================
hello      version, log_bytes, nofile (the last two set the keeper's anew, where given)    version, pid, data
start      session, script, env, user, hostname, cloud, sessions, port_range, record       pid, port, started
note       session, note (merged into the record)                                          (nothing)
stop       session, grace (seconds), note                                                  found
forget     session                                                                         (nothing)
list                                                                                       sessions
inspect    session                                                                         see below
=========  ==============================================================================  ==========================

``data`` names the data directory that the keeper works in: device and inode, or null where it has vanished.

``inspect`` tells ``state``, ``directory``, ``keeper`` (its pid), ``kept_since`` (Unix seconds) and, while the session
lives, ``pid``, ``adopted`` (another keeper started it), ``user``, ``command`` and what its processes use: ``at``
(monotonic seconds), ``processes``, ``cpu`` (seconds), ``memory`` (bytes). An older keeper does not know it.

Event ``ended``: session, exit_code (int or null), reason (str or null), ended (Unix seconds).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VERSION = 1

#: Where the keeper listens, in its data directory: that is as private as its sessions, and lives as long as they do.
SOCKET = "keeper.sock"

HELLO, START, NOTE, STOP, FORGET, LIST = "hello", "start", "note", "stop", "forget", "list"
INSPECT = "inspect"
ENDED = "ended"

BAD_REQUEST = "bad_request"
START_FAILED = "start_failed"
NOT_FOUND = "not_found"
ALIVE = "alive"
NOT_REMOVED = "not_removed"

#: A script of 1 MiB takes at most 6 MiB as JSON; this leaves room for larger settings and stays affordable.
MAX_LINE = 64 * 1024 * 1024

#: The longest path that fits into a socket address, in bytes.
MAX_SOCKET_PATH = 107


_encoder = json.JSONEncoder(separators=(",", ":"))


class LineError(ValueError):
    """What came over the socket is not a line of this protocol."""


class OperationRejected(Exception):
    """The keeper did not do what it was asked, and says why. ``retryable``: asked again soon, it may do it."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.retryable = code, message, retryable

    @classmethod
    def from_response(cls, response: dict[str, Any]) -> OperationRejected:
        """The rejection in a response that has the key ``error``."""
        error = response["error"]
        return cls(error["code"], error["message"], retryable=error.get("passing", False))

    def to_response(self) -> dict[str, Any]:
        """The keys of the response that carries it."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return {"error": {**error, "passing": True} if self.retryable else error}


def encode(message: dict[str, Any]) -> bytes:
    """One line, newline included. ASCII only, so that lone surrogates survive."""
    return _encoder.encode(message).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The object on one line. Raises LineError."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise LineError("not a JSON object")
    return message


class LineSplitter:
    """Cuts a stream of bytes into lines.

    ``longest`` bounds what one line may take, in bytes. Use None for what the keeper says: the answer to ``list`` grows
    with the records that it was given.
    """

    def __init__(self, max_size: int | None = MAX_LINE) -> None:
        self._max_size = max_size
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes, without newline. Raises LineError when one grows too long."""
        *complete, rest = data.split(b"\n")
        if complete:
            complete[0] = b"".join([*self._parts, complete[0]])
            self._parts, self._size = [], 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        if self._max_size is not None and self._size > self._max_size:
            raise LineError(f"a line longer than {self._max_size} bytes")
        return [line for line in complete if line.strip()]


def file_id(path: Path) -> list[int] | None:
    """What names a file or directory, whatever its path: device and inode. None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_dev, status.st_ino]


def connect(path: Path, timeout: float | None = None) -> socket.socket:
    """A socket connected to the keeper at ``path``, which may be longer than a socket address. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        with _address(path) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def bind(path: Path) -> socket.socket:
    """A listening socket at ``path``, mode 0600; a stale one is replaced. Raises OSError, also when one is in use.

    Changes the umask for a moment: no other thread may be making files meanwhile.
    """
    _remove_stale_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)
    try:
        with _address(path) as address:
            listener.bind(address)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(umask)
    return listener


def _remove_stale_socket(path: Path) -> None:
    if not path.is_socket():
        return
    try:
        connect(path, timeout=1.0).close()
    except (ConnectionRefusedError, FileNotFoundError):
        path.unlink(missing_ok=True)
    else:
        raise OSError(f"another process listens at {path}")


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """A name of ``path`` that fits into a socket address: through a descriptor of its directory where it is long."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
