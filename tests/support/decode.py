"""Decodes requests as a node does before it claims them."""

from __future__ import annotations

import msgspec

from pycloud.protocol.decoding import decode_broadcast, digest_for
from pycloud.protocol.requests import Request


def decode_request(op: str, payload: bytes, max_script_bytes: int) -> Request:
    """The request that was published on the channel of ``op``, with its digest. Raises DecodeError, RejectedRequest."""
    request = decode_broadcast(op, payload, max_script_bytes)
    return msgspec.structs.replace(request, digest=digest_for(request, payload))
