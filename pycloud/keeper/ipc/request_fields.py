"""Reads requests: converts JSON objects into typed values, or raises a rejection that names the field. Pure."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pycloud.keeper.ipc import protocol
from pycloud.keeper.lifecycle.starter import StartRequest

_SESSION = re.compile(r"[0-9a-f]{20}")

T = TypeVar("T")


def is_session_id(value: object) -> bool:
    """Return whether this is a session id. Ids become part of paths, so no other value may pass."""
    return isinstance(value, str) and _SESSION.fullmatch(value) is not None


def session_of(message: dict[str, Any]) -> str:
    """Return the field ``session``. Raises OperationRejected."""
    session = field(message, "session", str)
    if not is_session_id(session):
        raise protocol.OperationRejected(protocol.BAD_REQUEST, "session is not 20 lower-case hexadecimal digits")
    return session


def field(message: dict[str, Any], name: str, kind: type[T]) -> T:
    """Return the field ``name``, which must be of type ``kind``. Raises OperationRejected."""
    value = message.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise protocol.OperationRejected(protocol.BAD_REQUEST, f"{name} is missing or not of type {kind.__name__}")
    return value


def optional_field(message: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """Return the field ``name``, or None where it is missing or null. Raises OperationRejected."""
    return None if message.get(name) is None else field(message, name, kind)


def grace_of(message: dict[str, Any]) -> float:
    """Return the field ``grace``, in seconds. Raises OperationRejected."""
    value = message.get("grace")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise protocol.OperationRejected(protocol.BAD_REQUEST, "grace is not a number of seconds")
    return float(value)


def limits(message: dict[str, Any]) -> dict[str, int]:
    """Return those of the fields ``log_bytes`` and ``nofile`` that are set in a ``hello``. Raises OperationRejected."""
    given = {name: optional_field(message, name, int) for name in ("log_bytes", "nofile")}
    for name, value in given.items():
        if value is not None and value < 1:
            raise protocol.OperationRejected(protocol.BAD_REQUEST, f"{name} is not positive")
    return {name: value for name, value in given.items() if value is not None}


def start_request(message: dict[str, Any]) -> StartRequest:
    """Return all fields of ``start``. Raises OperationRejected."""
    return StartRequest(
        session=session_of(message),
        script=field(message, "script", str),
        env=_env(field(message, "env", dict)),
        user=optional_field(message, "user", str),
        hostname=field(message, "hostname", str),
        node_id=field(message, "cloud", str),
        sessions=field(message, "sessions", int),
        port_range=_port_range(optional_field(message, "port_range", list)),
        record=field(message, "record", dict),
    )


def _env(env: dict[Any, Any]) -> dict[str, str]:
    for key, value in env.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise protocol.OperationRejected(protocol.BAD_REQUEST, f"env: the value of {key} is not a string")
    return env


def _port_range(bounds: list[Any] | None) -> tuple[int, int] | None:
    if bounds is None:
        return None
    if len(bounds) != 2 or not all(type(port) is int for port in bounds) or not 1 <= bounds[0] <= bounds[1] <= 65535:
        raise protocol.OperationRejected(protocol.BAD_REQUEST, "port_range is not [low, high] within 1 to 65535")
    return bounds[0], bounds[1]
