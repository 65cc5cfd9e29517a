"""Decodes the payload of a request channel to a request, or to the reason for its rejection. Pure.

A request can fail in two ways: it cannot be answered (``DecodeError``: it is logged, counted and dropped), or it is
rejected (``RejectedRequest``: answered with an error under its id). No other exception is raised.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from hashlib import blake2b
from typing import TypeVar

import msgspec

from pycloud.errors import BadRequest, RequestError, ScriptTooLarge
from pycloud.protocol.messages import Heartbeat
from pycloud.protocol.requests import (
    REQUESTS,
    CreateRequest,
    Request,
)

MAX_ID_LENGTH = 256
#: JSON may encode each byte of a script as six (as in \u000a); the rest is room for the other keys.
MAX_BYTES_PER_ESCAPE = 6
MAX_BYTES_BESIDE_SCRIPT = 1 << 20
#: Bytes of an unusable payload that its digest covers.
DIGEST_WINDOW = 1 << 16
#: Bytes of an object up to which its values are decoded, so that differently encoded, equal objects have one digest.
CANONICAL_FORM_LIMIT = 1 << 16
#: Most bytes of a valid id in JSON: each code point as two escapes, and the quotes.
MAX_RAW_ID_LENGTH = MAX_ID_LENGTH * 12 + 2
#: A value that cannot be decoded: unlike None it is neither an id nor the absence of one.
INVALID = object()

T = TypeVar("T")


class DecodeError(ValueError):
    """A payload that cannot be answered. ``kind`` is one word, for counting and for the rate limit of log lines."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class RejectedRequest(Exception):
    """A request with a valid id that is answered with ``error``.

    ``kind`` is its type, ``session_id`` the session that it named (may be empty), ``digest`` that of its payload.
    """

    #: Whatever its kind: the error is the response, and any node may give it.
    direct_only = False

    def __init__(self, kind: type[Request], request_id: str, session_id: str, digest: str, error: RequestError) -> None:
        super().__init__(error.message)
        self.kind, self.id, self.session_id, self.digest, self.error = kind, request_id, session_id, digest, error
        self.op = kind.op


RawFields = dict[str, msgspec.Raw]


class _Envelope(msgspec.Struct):
    """The id of an unusable payload; the other keys are not decoded."""

    id: msgspec.Raw = msgspec.Raw(b"null")


_decode_any = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(RawFields).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode
_decoders: dict[type[Request], Callable[[bytes], Request]] = {
    kind: msgspec.json.Decoder(kind).decode for kind in REQUESTS.values()
}
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def decode_heartbeat(payload: bytes) -> Heartbeat:
    """The heartbeat in ``payload``. Raises DecodeError."""
    return _decode_or_raise(_decode_heartbeat, payload)


def decode_broadcast(op: str, payload: bytes, max_script_bytes: int) -> Request:
    """The request that was published on the channel of ``op``. Raises DecodeError or RejectedRequest.

    Without its digest, which costs as much as all the rest and is needed only for a claim: see ``digest_for``.
    """
    request_type = REQUESTS[op]
    if len(payload) > payload_limit(max_script_bytes):
        raise _oversized_error(request_type, payload, max_script_bytes)
    return _decode_fast(request_type, payload, max_script_bytes) or _decode(
        request_type, payload, _raw_fields(payload), max_script_bytes
    )


def decode_direct(payload: bytes, max_script_bytes: int) -> Request:
    """The request that was published on a node's direct channel. Raises DecodeError or RejectedRequest."""
    if len(payload) > payload_limit(max_script_bytes):
        raise DecodeError("too_large", f"a direct request of {len(payload)} bytes is over the limit")
    fields = _raw_fields(payload)
    op = _decode_small(fields.get("op"))
    if not isinstance(op, str) or op not in REQUESTS:
        raise DecodeError("unknown_op", f"the `op` of a direct request must be one of {', '.join(REQUESTS)}")
    request = _decode(REQUESTS[op], payload, fields, max_script_bytes)
    return msgspec.structs.replace(request, digest=digest_for(request, payload))


def digest_for(request: Request | RejectedRequest, payload: bytes) -> str:
    """The digest of a request: its own where it has one, otherwise that of its ``payload``."""
    if request.digest:
        return request.digest
    if isinstance(request, RejectedRequest) or not request.read_only:
        return digest_of(_raw_fields(payload))
    return _session_digest(request.session_id)


def payload_limit(max_script_bytes: int) -> int:
    """The size in bytes above which no payload can hold a script within the limit."""
    return MAX_BYTES_PER_ESCAPE * max_script_bytes + MAX_BYTES_BESIDE_SCRIPT


def is_valid_id(value: object) -> bool:
    """True for a string of 1 to 256 code points without control characters and surrogates."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_LENGTH:
        return False
    return value.isprintable() or not any(unicodedata.category(char) in ("Cc", "Cs") for char in value)


def digest_of(fields: RawFields) -> str:
    """A digest that is equal for repeats of a request, in whatever order the keys of its JSON object are.

    ``op`` is excluded: a request sent directly and by broadcast is one request. The digest of a small object
    (CANONICAL_FORM_LIMIT bytes) does not depend on the JSON encoding of its values either; a large one is not decoded
    for that.
    """
    hashed = {key: bytes(value) for key, value in fields.items() if key != "op"}
    try:
        small = sum(map(len, hashed.values())) <= CANONICAL_FORM_LIMIT
        built = {key: _decode_any(value) for key, value in hashed.items()} if small else None
    except (msgspec.DecodeError, RecursionError):  # for example a number out of range, in a key that is ignored
        built = None
    if built is not None:
        return blake2b(_encode_sorted(built), digest_size=16).hexdigest()
    spelled = b"".join(b"%r:%d:" % (key.encode(), len(value)) + value for key, value in sorted(hashed.items()))
    return blake2b(spelled, digest_size=16).hexdigest()


def _session_digest(session: str) -> str:
    """The digest of a status request, which depends on the session alone; other keys are ignored."""
    return blake2b(session.encode(), digest_size=16).hexdigest()


def _digest(request_type: type[Request], session: str, fields: RawFields) -> str:
    return _session_digest(session) if request_type.read_only else digest_of(fields)


def _decode_fast(request_type: type[Request], payload: bytes, max_script_bytes: int) -> Request | None:
    """The fast path for nearly all requests; None where the payload is unusual in any way."""
    try:
        payload.decode()
        request = _decoders[request_type](payload)
        return _complete(request, max_script_bytes) if is_valid_id(request.id) else None
    except (ValueError, RecursionError, RequestError):
        return None


def _decode_or_raise(decode: Callable[[bytes], T], payload: bytes) -> T:
    try:
        payload.decode()
        return decode(payload)
    except UnicodeDecodeError as error:
        raise DecodeError("not_utf8", "the payload is not UTF-8") from error
    except RecursionError as error:
        raise DecodeError("too_deep", "the payload is nested too deeply") from error
    except msgspec.ValidationError as error:
        raise DecodeError("not_object", f"the payload is JSON, but not as expected: {error}") from error
    except msgspec.DecodeError as error:
        raise DecodeError("not_json", f"the payload is not valid JSON: {error}") from error


def _raw_fields(payload: bytes) -> RawFields:
    """The keys of a payload; their values are validated as JSON, but not decoded."""
    return _decode_or_raise(_decode_fields, payload)


def _decode_small(raw: msgspec.Raw | None) -> object:
    """A decoded value; None where it is absent or longer than MAX_RAW_ID_LENGTH, INVALID where it cannot be decoded."""
    if raw is None or len(bytes(raw)) > MAX_RAW_ID_LENGTH:
        return None
    try:
        return _decode_any(raw)
    except (msgspec.DecodeError, RecursionError):
        return INVALID


def _decode_id(raw: msgspec.Raw | None) -> str:
    value = _decode_small(raw)
    if value is None and (raw is None or bytes(raw) == b"null"):
        raise DecodeError("no_id", "the request has no id, so it cannot be answered")
    if not is_valid_id(value):
        raise DecodeError("bad_id", "the id is not a string of 1 to 256 characters without control characters")
    return str(value)


def _decode(request_type: type[Request], payload: bytes, fields: RawFields, max_script_bytes: int) -> Request:
    request_id = _decode_id(fields.get("id"))
    named = _decode_small(fields.get("session"))
    session = named if isinstance(named, str) else ""
    try:
        return _complete(_decoders[request_type](payload), max_script_bytes)
    except RequestError as error:
        raise RejectedRequest(
            request_type, request_id, session, _digest(request_type, session, fields), error
        ) from error
    except (msgspec.DecodeError, RecursionError) as error:
        bad = BadRequest(f"{request_type.op}: {_describe(error)}")
        raise RejectedRequest(request_type, request_id, session, _digest(request_type, session, fields), bad) from error


def _complete(request: Request, max_script_bytes: int) -> Request:
    request.validate(max_script_bytes)
    return request.with_computed_fields()


def _describe(error: Exception) -> str:
    """msgspec's error in the terms of docs/protocol.md."""
    text = str(error).replace("Object missing required field", "missing required field")
    return re.sub(r"Expected `(\w+)(?: \| null)?`, got `(\w+)` - at `\$\.(\w+)[^`]*`", _describe_type_mismatch, text)


def _describe_type_mismatch(found: re.Match[str]) -> str:
    types = {"str": "a string", "int": "a whole number", "object": "an object", "array": "a list", "bool": "a boolean"}
    expected, got, field = found.groups()
    return f"`{field}` is or contains {types.get(got, got)}; expected {types.get(expected, expected)}"


def _raw_digest(payload: bytes) -> str:
    return blake2b(b"%d:" % len(payload) + payload[:DIGEST_WINDOW], digest_size=16).hexdigest()


def _oversized_error(request_type: type[Request], payload: bytes, max_script_bytes: int) -> Exception:
    """The exception for a payload over the limit, of which only the id is decoded."""
    try:
        request_id = _decode_id(_decode_or_raise(_decode_envelope, payload).id)
    except DecodeError as error:
        return error
    error_type = ScriptTooLarge if request_type is CreateRequest else BadRequest
    limit = payload_limit(max_script_bytes)
    reason = f"the request has {len(payload)} bytes, over the limit of {limit} that follows from max_script_bytes"
    return RejectedRequest(request_type, request_id, "", _raw_digest(payload), error_type(reason))
