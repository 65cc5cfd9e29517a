"""Messages of streams: what a session has to say to one viewer, as it comes (docs/protocol.md, "Following").

A request ``follow`` opens a stream that bears its ``id``; everything in it is published on ``P.stream.ID``. The viewer
answers by requests ``stream`` under that same id. Pure.
"""

from __future__ import annotations

import base64
from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from pycloud.errors import BadRequest
from pycloud.protocol.message_parts import COMPUTED, ErrorBody

#: Bytes: output that may be on its way to a viewer that has not acknowledged it.
DEFAULT_WINDOW, MIN_WINDOW, MAX_WINDOW = 256 * 1024, 64 * 1024, 1 << 20
#: Seconds that a stream lives without a word of its viewer.
DEFAULT_LEASE, MIN_LEASE, MAX_LEASE = 15.0, 0.5, 60.0
#: So often in a lease viewers say that they are there, and owners that they live.
KEEPALIVES_PER_LEASE = 3
#: Bytes of output that a stream begins with where the request does not say.
DEFAULT_FOLLOW_TAIL = 64 * 1024
MAX_LINES = 1_000_000
MAX_OFFSET = 1 << 62

#: What travels in a stream. Reserved for streams to come that take input: ``input``, ``resize``, ``signal``.
OUTPUT, ACK, CLOSE = "output", "ack", "close"

#: Control characters that JSON spells with six bytes each.
_UNESCAPED_BYTES = bytes(range(0x20, 0x100)) + b"\b\t\n\f\r"


class FollowRequest(msgspec.Struct, frozen=True):
    """Open a stream of the output of ``session``.

    It begins at byte ``offset``; or with the newest ``tail`` bytes or ``lines``; or with what was written ``since``
    (Unix seconds; together with ``lines``: at most so many). ``place`` goes with ``offset``: what came with the last
    output before it. ``once``: it ends where the output ended when it was asked for.
    """

    op: ClassVar[str] = "follow"
    direct_only: ClassVar[bool] = True
    id: str
    session: str
    kind: str = OUTPUT
    offset: int | None = None
    tail: int | None = None
    lines: int | None = None
    since: float | None = None
    place: str | None = None
    once: bool = False
    window: int = DEFAULT_WINDOW
    lease: float = DEFAULT_LEASE
    digest: str = COMPUTED


class StreamRequest(msgspec.Struct, frozen=True):
    """What a viewer says in stream ``id``. ``ack``: it has dealt with what came before ``offset``. ``close``: enough.

    Every one of them renews the stream's lease, whatever its kind.
    """

    op: ClassVar[str] = "stream"
    direct_only: ClassVar[bool] = True
    id: str
    session: str
    kind: str = ACK
    offset: int = 0
    digest: str = COMPUTED


class FollowResponse(msgspec.Struct, frozen=True):
    """The stream is open, and begins at ``offset``; ``window`` (bytes) and ``lease`` (seconds) as they are from now on.

    ``status`` is false, and there is no stream, where the cloud knows no such session.
    """

    cloud: str
    id: str
    status: bool
    offset: int | UnsetType = UNSET
    place: str | UnsetType = UNSET
    window: int | UnsetType = UNSET
    lease: float | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


class StreamOutput(msgspec.Struct, frozen=True, tag_field="kind", tag=OUTPUT):
    """Output from byte ``offset`` on; ``encoding`` is ``utf-8`` or ``base64``."""

    offset: int
    data: str
    encoding: str
    place: str | UnsetType = UNSET


class StreamSkipped(msgspec.Struct, frozen=True, tag_field="kind", tag="skipped"):
    """So many ``bytes`` from ``offset`` on are not to be had any more; null: nobody knows how many."""

    offset: int
    bytes: int | None


class StreamKeepalive(msgspec.Struct, frozen=True, tag_field="kind", tag="alive"):
    """Nothing new: all before ``offset`` was sent."""

    offset: int


class StreamEnd(msgspec.Struct, frozen=True, tag_field="kind", tag="end"):
    """There will be no more: the session is in this ``state``, and all before ``offset`` was sent."""

    offset: int
    state: str
    exit_code: int | UnsetType | None = UNSET
    reason: str | UnsetType = UNSET


class StreamClosed(msgspec.Struct, frozen=True, tag_field="kind", tag="closed"):
    """The cloud has no such stream (any more): who wants to go on asks anew."""

    reason: str


StreamMessage = StreamOutput | StreamSkipped | StreamKeepalive | StreamEnd | StreamClosed


def validate_follow(request: FollowRequest) -> None:
    """Raises BadRequest for what no cloud could do."""
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
    """The bytes that may be on their way: what was asked for, within the bounds."""
    return max(MIN_WINDOW, min(MAX_WINDOW, request.window))


def lease_of(request: FollowRequest) -> float:
    """The seconds that the stream lives without a word: what was asked for, within the bounds."""
    return max(MIN_LEASE, min(MAX_LEASE, request.lease))


def encode_output(offset: int, data: bytes, place: str | None = None) -> StreamOutput:
    """A piece of output: as text where it is text, and that is shorter than base64."""
    where = UNSET if place is None else place
    if len(data.translate(None, _UNESCAPED_BYTES)) * 15 <= len(data):
        try:
            return StreamOutput(offset, data.decode(), "utf-8", where)
        except UnicodeDecodeError:
            pass
    return StreamOutput(offset, base64.b64encode(data).decode(), "base64", where)


def decode_output(message: StreamOutput) -> bytes:
    """The bytes in a piece of output. Raises ValueError."""
    return base64.b64decode(message.data) if message.encoding == "base64" else message.data.encode()


def trim_partial_character(data: bytes) -> bytes:
    """The same without a UTF-8 character at its end that is not all there; as it is where nothing else is in it."""
    for back in range(1, min(4, len(data))):
        byte = data[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if length > back else data
        if byte < 0x80:
            break
    return data
