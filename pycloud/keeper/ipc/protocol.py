"""The protocol between the daemon and its keeper: version, operations, lines, and the address of the socket.

JSON objects, one per line, in both directions. A request carries ``op`` and, when a response is expected, ``seq``; the
response carries the same ``seq`` and either the result's keys or ``error: {code, message}``, with ``passing: true``
where a retry of the same request may succeed soon. An event carries ``event`` and no ``seq``. The daemon imports this
file too: it uses the standard library only and has no side effects on import.

=========  ==============================================================================  ==========================
operation  request                                                                         response
=========  ==============================================================================  ==========================
hello      version, log_bytes, nofile (the last two change the keeper's limits, if given)  version, pid, data
start      session, script, env, user, hostname, cloud, sessions, port_range, record       pid, port, started
note       session, note (merged into the record)                                          (nothing)
stop       session, grace (seconds), note                                                  found
forget     session                                                                         (nothing)
list                                                                                       sessions
inspect    session                                                                         see below
=========  ==============================================================================  ==========================

``data`` identifies the data directory that the keeper works in: device and inode, or null if it no longer exists.

``inspect`` returns ``state``, ``directory``, ``keeper`` (its pid), ``kept_since`` (start of the keeper, Unix seconds)
and, while the session runs, ``pid``, ``adopted`` (started by an earlier keeper), ``user``, ``command`` and the usage of
its processes: ``at`` (monotonic seconds), ``processes`` (their number), ``cpu`` (seconds), ``memory`` (bytes). Older
keepers do not know this operation.

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

#: Name of the keeper's socket in its data directory, which is as private as the sessions and exists as long as they do.
SOCKET = "keeper.sock"

HELLO, START, NOTE, STOP, FORGET, LIST = "hello", "start", "note", "stop", "forget", "list"
INSPECT = "inspect"
ENDED = "ended"

BAD_REQUEST = "bad_request"
START_FAILED = "start_failed"
NOT_FOUND = "not_found"
ALIVE = "alive"
NOT_REMOVED = "not_removed"

#: Bytes of one line. A script of 1 MiB takes at most 6 MiB as JSON; this leaves room for larger settings and stays
#: affordable.
MAX_LINE = 64 * 1024 * 1024

#: The longest path that fits into a socket address, in bytes.
MAX_SOCKET_PATH = 107


_encoder = json.JSONEncoder(separators=(",", ":"))


class LineError(ValueError):
    """The data received over the socket is not a line of this protocol."""


class OperationRejected(Exception):
    """The keeper rejected an operation; the message is the reason. ``retryable``: a retry may succeed soon."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.retryable = code, message, retryable

    @classmethod
    def from_response(cls, response: dict[str, Any]) -> OperationRejected:
        """Return the rejection in a response that has the key ``error``."""
        error = response["error"]
        return cls(error["code"], error["message"], retryable=error.get("passing", False))

    def to_response(self) -> dict[str, Any]:
        """Return the keys of the response that carries this rejection."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return {"error": {**error, "passing": True} if self.retryable else error}


def encode(message: dict[str, Any]) -> bytes:
    """Return the message as one line, newline included. ASCII only, so that lone surrogates survive."""
    return _encoder.encode(message).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return the object on one line. Raises LineError."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise LineError("not a JSON object")
    return message


class LineSplitter:
    """Splits a stream of bytes into lines.

    ``max_size`` limits the length of one line, in bytes. Use None for data from the keeper: the response to ``list``
    grows with the records that the keeper was given.
    """

    def __init__(self, max_size: int | None = MAX_LINE) -> None:
        self._max_size = max_size
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes, without newline. Raises LineError when a line grows too long."""
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
    """Return device and inode, which identify a file or directory whatever its path; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_dev, status.st_ino]


def connect(path: Path, timeout: float | None = None) -> socket.socket:
    """Return a socket connected to the keeper at ``path``; ``timeout`` is in seconds. Raises OSError.

    ``path`` may be longer than a socket address allows.
    """
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
    """Return a socket listening at ``path``, mode 0600. Replaces a stale one. Raises OSError, also when one is in use.

    Changes the umask temporarily: no other thread may create files meanwhile.
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
    """Yield a name of ``path`` that fits into a socket address; a long one goes through its directory's descriptor."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
