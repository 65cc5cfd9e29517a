"""Validates names, labels and environments of sessions (docs/protocol.md, "Names and labels"). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pycloud.errors import BadRequest

MAX_LABELS, MAX_LENGTH = 16, 63
#: ASCII only: no look-alike letters of other scripts, and easy to type anywhere. A name is also part of a Redis key.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}", re.ASCII)
_HEX = frozenset("0123456789abcdefABCDEF")
#: PyCloud sets these variables of a session: they identify it, so a request cannot set them.
RESERVED_ENV = frozenset({"PYCLOUD_SESSION", "PYCLOUD_CLOUD", "PYCLOUD_HOSTNAME", "PYCLOUD_PORT"})


def is_name(text: str) -> bool:
    """Whether ``text`` is a valid session name.

    Never true for a possible beginning of a session id: an argument is a name or an id, whatever sessions exist.
    """
    return bool(_NAME.fullmatch(text)) and not _HEX.issuperset(text)


def validate_name(name: str) -> None:
    """Raises BadRequest where this is not a valid session name."""
    if is_name(name):
        return
    if _NAME.fullmatch(name):
        raise BadRequest(
            f"create: `name` is {name!r}, which looks like the beginning of a session id: "
            "it needs a character other than 0-9 and a-f"
        )
    raise BadRequest(
        f"create: `name` is {name[:80]!r}; it must have 1 to {MAX_LENGTH} characters, letters, digits, "
        "'-', '_' and '.', and begin with a letter or digit"
    )


def validate_labels(labels: Mapping[str, str]) -> None:
    """Raises BadRequest where a session may not carry these labels."""
    if len(labels) > MAX_LABELS:
        raise BadRequest(f"create: `labels` has {len(labels)} entries; the limit is {MAX_LABELS}")
    for key, value in labels.items():
        if not _LABEL.fullmatch(key):
            raise BadRequest(
                f"create: `labels` has the key {key[:80]!r}; a key must have 1 to {MAX_LENGTH} characters, letters, "
                "digits, '-', '_', '.' and '/', and begin with a letter or digit"
            )
        if len(value) > MAX_LENGTH or not value.isprintable():
            raise BadRequest(
                f"create: `labels` has the value {value[:80]!r} for {key}; "
                f"a value must have at most {MAX_LENGTH} characters, all of them printable"
            )


def validate_env(env: Mapping[str, str]) -> None:
    """Raises BadRequest where a session's environment cannot be extended by these variables."""
    for name, value in env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise BadRequest(
                f"create: `env` has an invalid entry, {name[:64]!r}: names must not contain '=' or NUL, values no NUL"
            )
        if name in RESERVED_ENV:
            raise BadRequest(f"create: `env` cannot set {name}: PyCloud sets it")
