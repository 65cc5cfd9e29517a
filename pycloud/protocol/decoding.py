"""From the bytes of a request channel to a request, or to the reason why not. Pure.

Two things may be wrong: a request cannot be answered (``DecodeError``: it is logged, counted and dropped), or it can
and is refused (``Refused``: answered with an error under its id). Nothing else is ever raised.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from hashlib import blake2b
from typing import TypeVar

import msgspec

from pycloud.errors import BadRequest, RequestError, ScriptTooLarge
from pycloud.protocol.container_spec import KINDS, kinds_of
from pycloud.protocol.log_stream import FollowRequest, check_follow
from pycloud.protocol.messages import (
    MAX_TAIL,
    REQUESTS,
    CreateRequest,
    DrainRequest,
    LogsRequest,
    Rank,
    Request,
    StatusRequest,
)
from pycloud.protocol.validation import check_labels, check_name

MAX_ID_LENGTH = 256
#: JSON may spell each byte of a script as six (``\u000a``); the rest is room for the other keys.
ESCAPED_BYTE = 6
ROOM_BESIDE_SCRIPT = 1 << 20
#: How much of a payload that cannot be used is looked at for its digest.
DIGEST_WINDOW = 1 << 16
#: Up to so many bytes, the values of an object are built to find out whether another spelling is the same object.
SPELLING_WINDOW = 1 << 16
#: The longest that a usable id may be spelled: each code point as two escapes, and the quotes.
LONGEST_RAW_ID = MAX_ID_LENGTH * 12 + 2
#: Stands for a value that cannot be decoded: unlike None it is no id, and not the absence of one.
BROKEN = object()
#: These say who a session is; a request cannot set them.
RESERVED_ENV = frozenset({"PYCLOUD_SESSION", "PYCLOUD_CLOUD", "PYCLOUD_HOSTNAME", "PYCLOUD_PORT"})
#: Requests that name no session.
NAMELESS = (CreateRequest, DrainRequest)

T = TypeVar("T")


class DecodeError(ValueError):
    """A payload that nobody can be answered about. ``kind`` is one word, to count and to limit log lines by."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Refused(Exception):
    """A request with a usable id that is answered with ``error``.

    ``request`` is its type, ``session`` what it named (may be empty), ``digest`` that of its payload.
    """

    #: Whatever it asked for: what is wrong with it is answered like any other request.
    direct_only = False

    def __init__(self, request: type[Request], request_id: str, session: str, digest: str, error: RequestError) -> None:
        super().__init__(error.message)
        self.request, self.id, self.session, self.digest, self.error = request, request_id, session, digest, error
        self.op = request.op


Raw = dict[str, msgspec.Raw]


class _Envelope(msgspec.Struct):
    """What is read of a payload that cannot be used: its id, and nothing is built of the rest."""

    id: msgspec.Raw = msgspec.Raw(b"null")


_decode_any = msgspec.json.Decoder().decode
_decode_keys = msgspec.json.Decoder(Raw).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_rank = msgspec.json.Decoder(Rank).decode
_decoders: dict[type[Request], Callable[[bytes], Request]] = {
    kind: msgspec.json.Decoder(kind).decode for kind in REQUESTS.values()
}
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def decode_rank(payload: bytes) -> Rank:
    """The rank in ``payload``, or DecodeError."""
    return _guarded(_decode_rank, payload)


def decode_request(op: str, payload: bytes, max_script_bytes: int) -> Request:
    """The request that was published on the channel of ``op``, with its digest. Raises DecodeError or Refused."""
    request = read_request(op, payload, max_script_bytes)
    return msgspec.structs.replace(request, digest=digest_for(request, payload))


def read_request(op: str, payload: bytes, max_script_bytes: int) -> Request:
    """The same without its digest, which costs as much as all the rest, and which only those need who claim it."""
    kind = REQUESTS[op]
    if len(payload) > payload_limit(max_script_bytes):
        raise _oversized(kind, payload, max_script_bytes)
    return _plain(kind, payload, max_script_bytes) or _decode(kind, payload, _keys(payload), max_script_bytes)


def decode_direct(payload: bytes, max_script_bytes: int) -> Request:
    """The request that was published on a cloud's direct channel. Raises DecodeError or Refused."""
    if len(payload) > payload_limit(max_script_bytes):
        raise DecodeError("too_large", f"a direct request of {len(payload)} bytes is over the limit")
    keys = _keys(payload)
    op = _small(keys.get("op"))
    if not isinstance(op, str) or op not in REQUESTS:
        raise DecodeError("unknown_op", f"the op of a direct request is one of {', '.join(REQUESTS)}")
    request = _decode(REQUESTS[op], payload, keys, max_script_bytes)
    return msgspec.structs.replace(request, digest=digest_for(request, payload))


def digest_for(request: Request, payload: bytes) -> str:
    """The digest of a request: its own where it has one already, else that of the ``payload`` that it was read from."""
    if request.digest:
        return request.digest
    return _status_digest(request.session) if isinstance(request, StatusRequest) else digest_of(_keys(payload))


def payload_limit(max_script_bytes: int) -> int:
    """The size in bytes above which no payload can hold a script within the limit."""
    return ESCAPED_BYTE * max_script_bytes + ROOM_BESIDE_SCRIPT


def usable_id(value: object) -> bool:
    """True for a string of 1 to 256 code points without control characters and surrogates."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_LENGTH:
        return False
    return value.isprintable() or not any(unicodedata.category(char) in ("Cc", "Cs") for char in value)


def digest_of(keys: Raw) -> str:
    """What tells a repeat from another request: the same for the same JSON object, in whatever order its keys are.

    ``op`` does not count: a request sent directly and by broadcast is one request. Of a small object it does not count
    either how its values are spelled; a large one is not built to find out.
    """
    counted = {key: bytes(value) for key, value in keys.items() if key != "op"}
    try:
        small = sum(map(len, counted.values())) <= SPELLING_WINDOW
        built = {key: _decode_any(value) for key, value in counted.items()} if small else None
    except (msgspec.DecodeError, RecursionError):  # a number that is out of range, say, in a key that is ignored
        built = None
    if built is not None:
        return blake2b(_encode_sorted(built), digest_size=16).hexdigest()
    spelled = b"".join(b"%r:%d:" % (key.encode(), len(value)) + value for key, value in sorted(counted.items()))
    return blake2b(spelled, digest_size=16).hexdigest()


def _status_digest(session: str) -> str:
    """A status is what it asks for; whatever else its payload holds makes no other request of it."""
    return blake2b(session.encode(), digest_size=16).hexdigest()


def _digest(kind: type[Request], session: str, keys: Raw) -> str:
    return _status_digest(session) if kind is StatusRequest else digest_of(keys)


def _plain(kind: type[Request], payload: bytes, max_script_bytes: int) -> Request | None:
    """The fast path of nearly all: None where anything at all is unusual about it."""
    try:
        payload.decode()
        request = _decoders[kind](payload)
        return _checked(request, max_script_bytes) if usable_id(request.id) else None
    except (ValueError, RecursionError, RequestError):
        return None


def _guarded(decode: Callable[[bytes], T], payload: bytes) -> T:
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
        raise DecodeError("not_json", f"the payload is no JSON: {error}") from error


def _keys(payload: bytes) -> Raw:
    """The keys of a payload; what they hold is looked over, not built."""
    return _guarded(_decode_keys, payload)


def _small(raw: msgspec.Raw | None) -> object:
    """A value that is only of use while it is small; None for what is not there, is large, or is no good."""
    if raw is None or len(bytes(raw)) > LONGEST_RAW_ID:
        return None
    try:
        return _decode_any(raw)
    except (msgspec.DecodeError, RecursionError):
        return BROKEN


def _checked_id(raw: msgspec.Raw | None) -> str:
    value = _small(raw)
    if value is None and (raw is None or bytes(raw) == b"null"):
        raise DecodeError("no_id", "the request has no id, so nobody can be answered")
    if not usable_id(value):
        raise DecodeError("bad_id", "the id is not a string of 1 to 256 characters without control characters")
    return str(value)


def _decode(kind: type[Request], payload: bytes, keys: Raw, max_script_bytes: int) -> Request:
    request_id = _checked_id(keys.get("id"))
    named = _small(keys.get("session"))
    session = named if isinstance(named, str) else ""
    try:
        return _checked(_decoders[kind](payload), max_script_bytes)
    except RequestError as error:
        raise Refused(kind, request_id, session, _digest(kind, session, keys), error) from error
    except (msgspec.DecodeError, RecursionError) as error:
        bad = BadRequest(f"{kind.op}: {_said_plainly(error)}")
        raise Refused(kind, request_id, session, _digest(kind, session, keys), bad) from error


def _checked(request: Request, max_script_bytes: int) -> Request:
    """A request whose values are usable, with what is computed from them, but for the digest."""
    if isinstance(request, CreateRequest):
        _check_create(request, max_script_bytes)
        return msgspec.structs.replace(request, digest="", kinds=_kinds(request))
    _check_values(request)
    return msgspec.structs.replace(request, digest="") if request.digest else request


def _said_plainly(error: Exception) -> str:
    """What msgspec found, in the words of docs/protocol.md."""
    text = str(error).replace("Object missing required field", "there is no")
    return re.sub(r"Expected `(\w+)(?: \| null)?`, got `(\w+)` - at `\$\.(\w+)[^`]*`", _type_complaint, text)


def _type_complaint(found: re.Match[str]) -> str:
    types = {"str": "a string", "int": "a whole number", "object": "an object", "array": "a list", "bool": "a boolean"}
    expected, got, field = found.groups()
    return f"`{field}` is or holds {types.get(got, got)}, and not {types.get(expected, expected)}"


def _raw_digest(payload: bytes) -> str:
    return blake2b(b"%d:" % len(payload) + payload[:DIGEST_WINDOW], digest_size=16).hexdigest()


def _check_values(request: Request) -> None:
    if isinstance(request, NAMELESS):
        return
    if not request.session:
        raise BadRequest(f"{request.op}: `session` is empty; it names the session, 20 hex digits")
    if isinstance(request, FollowRequest):
        check_follow(request)
    elif isinstance(request, LogsRequest) and not 0 < request.bytes <= MAX_TAIL:
        raise BadRequest(f"logs: `bytes` is {request.bytes}; it goes from 1 to {MAX_TAIL}")


def _check_create(request: CreateRequest, max_script_bytes: int) -> None:
    if not request.script:
        raise BadRequest("create: `script` is empty")
    size = len(request.script.encode())
    if size > max_script_bytes:
        raise ScriptTooLarge(f"the script has {size} bytes, the limit is {max_script_bytes} (max_script_bytes)")
    for name, value in request.env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise BadRequest(f"create: `env` has an unusable entry, {name[:64]!r}: no '=' in names, no NUL anywhere")
        if name in RESERVED_ENV:
            raise BadRequest(f"create: `env` cannot set {name}: PyCloud sets it")
    if request.name is not None:
        check_name(request.name)
    check_labels(request.labels)


def _kinds(request: CreateRequest) -> tuple[str, ...]:
    """What its session may be, the best first."""
    if request.runtime is None:
        return kinds_of(request.script)
    if request.runtime not in KINDS:
        raise BadRequest(f"create: `runtime` is {request.runtime[:64]!r}; it is one of {', '.join(KINDS)}")
    return (request.runtime,)


def _oversized(kind: type[Request], payload: bytes, max_script_bytes: int) -> Exception:
    """What to raise for a payload over the limit: it is only skimmed, for its id."""
    try:
        request_id = _checked_id(_guarded(_decode_envelope, payload).id)
    except DecodeError as error:
        return error
    error_type = ScriptTooLarge if kind is CreateRequest else BadRequest
    limit = payload_limit(max_script_bytes)
    reason = f"the request has {len(payload)} bytes, over {limit}: no script within max_script_bytes needs that"
    return Refused(kind, request_id, "", _raw_digest(payload), error_type(reason))
