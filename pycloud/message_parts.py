"""What messages of several modules are made of. Pure."""

from __future__ import annotations

import msgspec

#: A field that does not travel: whatever a payload holds under this name is overwritten.
COMPUTED: str = msgspec.field(name="(computed)", default="")


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a request was refused or failed: a stable code for programs, a sentence for people."""

    code: str
    message: str
