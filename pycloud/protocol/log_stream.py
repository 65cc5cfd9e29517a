"""Log streams: limits of a ``follow`` request, and how output is encoded (docs/protocol.md, "Following"). Pure."""

from __future__ import annotations

import base64

from msgspec import UNSET

from pycloud.errors import BadRequest
from pycloud.protocol.messages import (
    MAX_LEASE,
    MAX_LINES,
    MAX_OFFSET,
    MAX_WINDOW,
    MIN_LEASE,
    MIN_WINDOW,
    OUTPUT,
    FollowRequest,
    StreamOutput,
)

#: All bytes except the control characters that JSON encodes with six bytes each.
_UNESCAPED_BYTES = bytes(range(0x20, 0x100)) + b"\b\t\n\f\r"


def validate_follow(request: FollowRequest) -> None:
    """Raises BadRequest where no node could carry out the request."""
    start_fields = [name for name in ("offset", "tail", "lines", "since") if getattr(request, name) is not None]
    if request.kind != OUTPUT:
        raise BadRequest(f"follow: `kind` is {request.kind[:64]!r}; there is only {OUTPUT}")
    if len(start_fields) > 1 and start_fields != ["lines", "since"]:
        raise BadRequest(f"follow: {' and '.join(f'`{name}`' for name in start_fields)} cannot both say where to begin")
    limits = {"offset": MAX_OFFSET, "tail": MAX_OFFSET, "lines": MAX_LINES}
    for name, maximum in limits.items():
        if not 0 <= (getattr(request, name) or 0) <= maximum:
            raise BadRequest(f"follow: `{name}` is {getattr(request, name)}; it goes from 0 to {maximum}")


def window_of(request: FollowRequest) -> int:
    """The most bytes in transit without an acknowledgement: the requested window, within its limits."""
    return max(MIN_WINDOW, min(MAX_WINDOW, request.window))


def lease_of(request: FollowRequest) -> float:
    """The seconds that a stream stays open without a viewer's message: the requested lease, within its limits."""
    return max(MIN_LEASE, min(MAX_LEASE, request.lease))


def encode_output(offset: int, data: bytes, place: str | None = None) -> StreamOutput:
    """Encode output: as text where it is UTF-8 and text is shorter than base64, otherwise in base64."""
    where = UNSET if place is None else place
    if len(data.translate(None, _UNESCAPED_BYTES)) * 15 <= len(data):
        try:
            return StreamOutput(offset, data.decode(), "utf-8", where)
        except UnicodeDecodeError:
            pass
    return StreamOutput(offset, base64.b64encode(data).decode(), "base64", where)


def decode_output(message: StreamOutput) -> bytes:
    """The bytes of an output message. Raises ValueError."""
    return base64.b64decode(message.data) if message.encoding == "base64" else message.data.encode()


def trim_partial_character(data: bytes) -> bytes:
    """``data`` without an incomplete UTF-8 character at its end; unchanged where it consists of nothing else."""
    for back in range(1, min(4, len(data))):
        byte = data[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if length > back else data
        if byte < 0x80:
            break
    return data
