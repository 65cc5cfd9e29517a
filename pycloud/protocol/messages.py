"""Every message on the wire, as a type (docs/protocol.md). What comes in is decoded in ``decoding.py``.

A request that is ``direct_only`` is for one cloud, and comes over its direct channel: others never hear it.

Pure. Keys are added, never renamed or removed: a client that reads only ``cloud``, ``id`` and ``status`` keeps working.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

#: A field that does not travel: whatever a payload holds under this name is overwritten.
COMPUTED: str = msgspec.field(name="(computed)", default="")
COMPUTED_RUNTIMES: tuple[str, ...] = msgspec.field(name="(computed kinds)", default=("script",))
DEFAULT_TAIL = 64 * 1024
MAX_TAIL = 1 << 20
#: A cloud counts as away when it was not heard for so many of its heartbeats.
HEARTBEATS_MISSED = 3

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


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a request was refused or failed: a stable code for programs, a sentence for people.

    ``session``: the one that is in the way (``name_taken``).
    """

    code: str
    message: str
    session: str | UnsetType = UNSET


class CreateRequest(msgspec.Struct, frozen=True):
    """Start ``script`` as a session. ``env`` is added to the session's environment.

    ``where``: labels that its cloud must have. ``cloud``: the one that must take it. ``runtime``: what it shall be, a
    ``script`` or a ``docker`` container; null: what the script looks like. ``name``: unique among sessions that live.
    ``labels``: what it is to be found by.

    ``kinds`` is computed from these: what the session may be, the best first.

    ``digest`` (here and below) is computed from the payload, to tell a repeat from another request.
    """

    op: ClassVar[str] = "create"
    direct_only: ClassVar[bool] = False
    id: str
    script: str
    env: dict[str, str] = {}
    where: dict[str, str] = {}
    cloud: str | None = None
    runtime: str | None = None
    name: str | None = None
    labels: dict[str, str] = {}
    digest: str = COMPUTED
    runtimes: tuple[str, ...] = COMPUTED_RUNTIMES


class StatusRequest(msgspec.Struct, frozen=True):
    """Tell what has become of ``session``."""

    op: ClassVar[str] = "status"
    direct_only: ClassVar[bool] = False
    id: str
    session: str
    digest: str = COMPUTED


class RemoveRequest(msgspec.Struct, frozen=True):
    """End ``session`` and delete what is left of it."""

    op: ClassVar[str] = "remove"
    direct_only: ClassVar[bool] = False
    id: str
    session: str
    digest: str = COMPUTED


class LogsRequest(msgspec.Struct, frozen=True):
    """Send the newest ``bytes`` (at most MAX_TAIL) of the output of ``session``."""

    op: ClassVar[str] = "logs"
    direct_only: ClassVar[bool] = True
    id: str
    session: str
    bytes: int = DEFAULT_TAIL
    digest: str = COMPUTED


class InspectRequest(msgspec.Struct, frozen=True):
    """Tell all that its cloud knows of ``session``, and what it uses just now."""

    op: ClassVar[str] = "inspect"
    direct_only: ClassVar[bool] = True
    id: str
    session: str
    digest: str = COMPUTED


class DrainRequest(msgspec.Struct, frozen=True):
    """Take nothing new from now on (``draining``), or take it again. ``cloud``: whom this is for, to be sure of it."""

    op: ClassVar[str] = "drain"
    direct_only: ClassVar[bool] = True
    #: It names none.
    session: ClassVar[str] = ""
    id: str
    draining: bool
    cloud: str | None = None
    digest: str = COMPUTED


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


Request = (
    CreateRequest
    | StatusRequest
    | RemoveRequest
    | LogsRequest
    | InspectRequest
    | DrainRequest
    | FollowRequest
    | StreamRequest
)
REQUESTS: dict[str, type[Request]] = {
    kind.op: kind
    for kind in (
        CreateRequest,
        StatusRequest,
        RemoveRequest,
        LogsRequest,
        InspectRequest,
        DrainRequest,
        FollowRequest,
        StreamRequest,
    )
}


class CreateResponse(msgspec.Struct, frozen=True):
    """``id`` is the session's; null where none was made, and then ``error`` says why.

    ``ports``, of a container that has any: those of the host by its own, as in ``{"80/tcp": 32768}``; ``port`` is the
    first of them.
    """

    cloud: str
    id: str | None
    host: str | UnsetType = UNSET
    port: int | UnsetType | None = UNSET
    ports: dict[str, int] | UnsetType = UNSET
    state: str | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


class StatusResponse(msgspec.Struct, frozen=True):
    """``status`` is true while the session lives. Keys that are not valid in its state are left out.

    ``exit_code`` is null where the session exited and nobody can know the code any more; ``reason`` then says why.
    """

    cloud: str
    id: str
    status: bool
    state: str | UnsetType = UNSET
    host: str | UnsetType = UNSET
    port: int | UnsetType | None = UNSET
    ports: dict[str, int] | UnsetType = UNSET
    created: float | UnsetType = UNSET
    started: float | UnsetType | None = UNSET
    ended: float | UnsetType | None = UNSET
    exit_code: int | UnsetType | None = UNSET
    reason: str | UnsetType | None = UNSET
    #: True where its cloud is away: this is the last that was known.
    stale: bool | UnsetType = UNSET
    name: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


class RemoveResponse(msgspec.Struct, frozen=True):
    """``status`` is true when the session was there and is gone now, false when there was nothing to remove."""

    cloud: str
    id: str
    status: bool
    error: ErrorBody | UnsetType = UNSET


class LogsResponse(msgspec.Struct, frozen=True):
    """``data`` is the output from byte ``offset`` on; ``encoding`` is ``utf-8`` or ``base64``.

    ``status`` is false, and there is no data, where the cloud knows no such session.
    """

    cloud: str
    id: str
    status: bool
    offset: int | UnsetType = UNSET
    data: str | UnsetType = UNSET
    encoding: str | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


class ResourceUsage(msgspec.Struct, frozen=True):
    """What a session uses. ``memory``: bytes. ``uptime``: seconds since it runs.

    ``cpu_percent``: of one processor, over a moment (200: two of them busy); ``cpu_seconds``: since its start.
    """

    cpu_percent: float
    cpu_seconds: float
    memory: int
    processes: int
    uptime: float | None = None


class InspectResponse(StatusResponse, frozen=True, kw_only=True):
    """The keys of a status response, and all else that its cloud knows; ``state`` is missing where it knows no such.

    ``request``: the id of the create that made it. ``time``: when this was true, Unix seconds by the cloud's clock.
    ``figures``: what it uses, while it runs; ``trouble``: why they are missing all the same. ``details``: what else
    its runtime knows, by names of docs/protocol.md.
    """

    request: str | UnsetType = UNSET
    runtime: str | UnsetType = UNSET
    time: float | UnsetType = UNSET
    figures: ResourceUsage | UnsetType = UNSET
    trouble: str | UnsetType = UNSET
    details: dict[str, Any] | UnsetType = UNSET


class DrainResponse(msgspec.Struct, frozen=True):
    """``status`` is true when it is done; ``id`` is the cloud's. ``sessions``: how many live there, or are about to.

    ``kept``: false where it could not be written down (a full disk), so that a restart of the daemon forgets it.
    """

    cloud: str
    id: str
    status: bool
    draining: bool | UnsetType = UNSET
    sessions: int | UnsetType = UNSET
    kept: bool | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


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


Response = (
    CreateResponse | StatusResponse | RemoveResponse | LogsResponse | InspectResponse | DrainResponse | FollowResponse
)
RESPONSES: dict[str, type[Response]] = {
    CreateRequest.op: CreateResponse,
    StatusRequest.op: StatusResponse,
    RemoveRequest.op: RemoveResponse,
    LogsRequest.op: LogsResponse,
    InspectRequest.op: InspectResponse,
    DrainRequest.op: DrainResponse,
    FollowRequest.op: FollowResponse,
    StreamRequest.op: FollowResponse,
}


class Heartbeat(msgspec.Struct, frozen=True):
    """What a cloud tells the others each heartbeat.

    ``runtimes``: what sessions may be there; empty: just ``runtime``, which is the first of them. ``unavailable``:
    those of which none can be started at present.

    ``score``: lower is less loaded. ``sessions``: how many live, start or are about to. ``instance``: random, new at
    each start of the daemon. ``heartbeat``: seconds between two ranks. ``dropped``: requests that could not be
    answered since its start. ``capacity``: most sessions; null: no limit. ``draining``: takes nothing new. ``deaf``: it
    does not hear what is published. ``copied``: another daemon uses its id, so that it takes no requests. ``counted``:
    creates seen so far that it was expected to take. ``per_session``: what a session adds to its score. ``sent``: its
    own monotonic clock, of meaning to itself only.
    """

    id: str
    score: float
    time: float
    sessions: int
    instance: str
    version: str
    host: str
    runtime: str
    heartbeat: float
    runtimes: tuple[str, ...] = ()
    unavailable: tuple[str, ...] = ()
    dropped: int = 0
    capacity: int | None = None
    labels: dict[str, str] = {}
    draining: bool = False
    deaf: bool = False
    copied: bool = False
    counted: int = 0
    per_session: float = 1.0
    sent: float = 0.0


class Event(msgspec.Struct, frozen=True):
    """What happened: ``cloud.up``, ``session.running``, ...; ``time`` in Unix seconds. ``name`` and ``labels``: the
    session's, where it has any.

    ``request``, ``image``, ``progress`` (words for people) and ``done`` (from 0 to 1, null where that is unknown) come
    with ``session.pulling``.
    """

    event: str
    cloud: str
    time: float
    session: str | UnsetType = UNSET
    request: str | UnsetType = UNSET
    image: str | UnsetType = UNSET
    progress: str | UnsetType = UNSET
    done: float | UnsetType | None = UNSET
    exit_code: int | UnsetType | None = UNSET
    reason: str | UnsetType | None = UNSET
    name: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET


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


_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """A message as UTF-8 JSON."""
    return _encoder.encode(message)


def error_response(request_type: type[Request], node: str, session: str, error: ErrorBody) -> Response:
    """The answer to a request that is refused or failed. ``session`` is what it named (create: ignored)."""
    if request_type is CreateRequest:
        return CreateResponse(cloud=node, id=None, error=error)
    return RESPONSES[request_type.op](cloud=node, id=session, status=False, error=error)  # type: ignore[call-arg]
