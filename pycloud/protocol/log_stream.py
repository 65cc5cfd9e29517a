"""How output is encoded in a log stream (docs/protocol.md, "Following"). Pure."""

from __future__ import annotations

import base64

from msgspec import UNSET

from pycloud.protocol.messages import StreamOutput

#: All bytes except the control characters that JSON encodes with six bytes each.
_UNESCAPED_BYTES = bytes(range(0x20, 0x100)) + b"\b\t\n\f\r"


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
