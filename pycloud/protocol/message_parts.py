"""What messages of several modules are made of. Pure."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

#: A field that does not travel: whatever a payload holds under this name is overwritten.
COMPUTED: str = msgspec.field(name="(computed)", default="")


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a request was refused or failed: a stable code for programs, a sentence for people.

    ``session``: the one that is in the way (``name_taken``).
    """

    code: str
    message: str
    session: str | UnsetType = UNSET
