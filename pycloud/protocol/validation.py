"""What a session may be called, and what labels it may carry (docs/protocol.md, "Names and labels"). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pycloud.errors import BadRequest

MAX_LABELS, MAX_LENGTH = 16, 63
#: No letter outside ASCII: what looks alike is alike, and can be typed anywhere. A name is also part of a Redis key.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}", re.ASCII)
_HEX = frozenset("0123456789abcdefABCDEF")


def is_name(text: str) -> bool:
    """Whether a session may be called so.

    Never true for what could be the beginning of an id: what people type is one or the other, whatever else exists.
    """
    return bool(_NAME.fullmatch(text)) and not _HEX.issuperset(text)


def validate_name(name: str) -> None:
    """Raises BadRequest where no session may be called so."""
    if is_name(name):
        return
    if _NAME.fullmatch(name):
        raise BadRequest(
            f"create: `name` is {name!r}, which looks like the beginning of a session id: "
            "it needs a character other than 0-9 and a-f"
        )
    raise BadRequest(
        f"create: `name` is {name[:80]!r}; it has 1 to {MAX_LENGTH} characters, letters, digits, '-', '_' and '.', "
        "and begins with a letter or digit"
    )


def validate_labels(labels: Mapping[str, str]) -> None:
    """Raises BadRequest where no session may carry these."""
    if len(labels) > MAX_LABELS:
        raise BadRequest(f"create: `labels` has {len(labels)} entries; {MAX_LABELS} are the most")
    for key, value in labels.items():
        if not _LABEL.fullmatch(key):
            raise BadRequest(
                f"create: `labels` has the key {key[:80]!r}; one has 1 to {MAX_LENGTH} characters, letters, digits, "
                "'-', '_', '.' and '/', and begins with a letter or digit"
            )
        if len(value) > MAX_LENGTH or not value.isprintable():
            raise BadRequest(
                f"create: `labels` has the value {value[:80]!r} for {key}; "
                f"one has at most {MAX_LENGTH} characters, all of them printable"
            )
