"""Every message on the wire, as a type (docs/protocol.md). Incoming messages are decoded in ``decoding.py``.

A request that is ``direct_only`` is for one node, and arrives on its direct channel: other nodes do not receive it.

Pure. Keys are added, never renamed or removed: a client that reads only ``cloud``, ``id`` and ``status`` keeps working.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

#: A computed field, not on the wire: a value under this name in a payload is overwritten.
COMPUTED: str = msgspec.field(name="(computed)", default="")
COMPUTED_RUNTIMES: tuple[str, ...] = msgspec.field(name="(computed kinds)", default=("script",))
DEFAULT_TAIL = 64 * 1024
MAX_TAIL = 1 << 20
#: Heartbeats without which a node counts as offline.
HEARTBEATS_MISSED = 3

#: Bytes of output in transit to a viewer that has not acknowledged them.
DEFAULT_WINDOW, MIN_WINDOW, MAX_WINDOW = 256 * 1024, 64 * 1024, 1 << 20
#: Seconds that a stream stays open without a message of its viewer.
DEFAULT_LEASE, MIN_LEASE, MAX_LEASE = 15.0, 0.5, 60.0
#: Keepalive messages per lease, of viewers and of owners.
KEEPALIVES_PER_LEASE = 3
#: Bytes of output that a stream begins with where the request sets no start.
DEFAULT_FOLLOW_TAIL = 64 * 1024
MAX_LINES = 1_000_000
MAX_OFFSET = 1 << 62

#: Kinds of messages in a stream. Reserved for future streams with input: ``input``, ``resize``, ``signal``.
OUTPUT, ACK, CLOSE = "output", "ack", "close"


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a request was rejected or failed: a stable code for programs, a sentence for people.

    ``session``: the conflicting session (``name_taken``).
    """

    code: str
    message: str
    session: str | UnsetType = UNSET


class CreateRequest(msgspec.Struct, frozen=True):
    """Start ``script`` as a session. ``env`` is added to the session's environment.

    ``where``: labels that its node must have. ``cloud``: id of the one node that must take it. ``runtime``: ``script``
    or ``docker``; null: derived from the script. ``name``: unique among live sessions. ``labels``: for finding the
    session.

    ``runtimes`` is computed from these: the runtimes that can run the session, the preferred one first.

    ``digest`` (here and below) is computed from the payload, to distinguish a repeat from another request.
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
    """Return the state of ``session``."""

    op: ClassVar[str] = "status"
    direct_only: ClassVar[bool] = False
    id: str
    session: str
    digest: str = COMPUTED


class RemoveRequest(msgspec.Struct, frozen=True):
    """End ``session`` and delete its data."""

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
    """Return everything that its node knows about ``session``, and its present resource usage."""

    op: ClassVar[str] = "inspect"
    direct_only: ClassVar[bool] = True
    id: str
    session: str
    digest: str = COMPUTED


class DrainRequest(msgspec.Struct, frozen=True):
    """Take no new sessions from now on (``draining``), or take them again.

    ``cloud``: id of the node that is meant; another node rejects the request.
    """

    op: ClassVar[str] = "drain"
    direct_only: ClassVar[bool] = True
    #: It names no session.
    session: ClassVar[str] = ""
    id: str
    draining: bool
    cloud: str | None = None
    digest: str = COMPUTED


class FollowRequest(msgspec.Struct, frozen=True):
    """Open a stream of the output of ``session``.

    It begins at byte ``offset``; or with the newest ``tail`` bytes or ``lines`` lines; or with output written ``since``
    (Unix seconds; together with ``lines``: at most so many lines). ``place`` accompanies ``offset``: the resume token
    of the last output before it. ``once``: the stream ends where the output ended at the time of the request.
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
    """A viewer's message in stream ``id``. ``ack``: output before ``offset`` is processed. ``close``: end the stream.

    Every such message renews the stream's lease, whatever its kind.
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
    """``id`` is the session's; null where none was created, and then ``error`` has the reason.

    ``ports``, of a container that has any: host ports by container port, as in ``{"80/tcp": 32768}``; ``port`` is the
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
    """``status`` is true while the session is live. Keys that are not valid in its state are left out.

    ``exit_code`` is null where the session exited and the code can no longer be determined; ``reason`` then has the
    cause.
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
    #: True where its node is offline: this is the last known state.
    stale: bool | UnsetType = UNSET
    name: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


class RemoveResponse(msgspec.Struct, frozen=True):
    """``status`` is true when the session existed and was removed, false when there was nothing to remove."""

    cloud: str
    id: str
    status: bool
    error: ErrorBody | UnsetType = UNSET


class LogsResponse(msgspec.Struct, frozen=True):
    """``data`` is the output from byte ``offset`` on; ``encoding`` is ``utf-8`` or ``base64``.

    ``status`` is false, and there is no data, where the node has no such session.
    """

    cloud: str
    id: str
    status: bool
    offset: int | UnsetType = UNSET
    data: str | UnsetType = UNSET
    encoding: str | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


class ResourceUsage(msgspec.Struct, frozen=True):
    """Resource usage of a session. ``memory``: bytes. ``uptime``: seconds since its start.

    ``cpu_percent``: of one processor, over a short interval (200: two processors busy); ``cpu_seconds``: since its
    start.
    """

    cpu_percent: float
    cpu_seconds: float
    memory: int
    processes: int
    uptime: float | None = None


class InspectResponse(StatusResponse, frozen=True, kw_only=True):
    """The keys of a status response, and everything else that its node knows.

    ``state`` is missing for an unknown session. ``request``: the id of the create that made it. ``time``: when this was
    true, Unix seconds by the node's clock. ``figures``: resource usage, while it runs; ``trouble``: why that is missing
    although it runs. ``details``: further facts from its runtime, named as in docs/protocol.md.
    """

    request: str | UnsetType = UNSET
    runtime: str | UnsetType = UNSET
    time: float | UnsetType = UNSET
    figures: ResourceUsage | UnsetType = UNSET
    trouble: str | UnsetType = UNSET
    details: dict[str, Any] | UnsetType = UNSET


class DrainResponse(msgspec.Struct, frozen=True):
    """``status`` is true when the change is done; ``id`` is the node's.

    ``sessions``: how many are live there, or about to start. ``kept``: false where the change could not be saved (a
    full disk), so that it does not survive a restart of the daemon.
    """

    cloud: str
    id: str
    status: bool
    draining: bool | UnsetType = UNSET
    sessions: int | UnsetType = UNSET
    kept: bool | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


class FollowResponse(msgspec.Struct, frozen=True):
    """The stream is open and begins at ``offset``; ``window`` (bytes) and ``lease`` (seconds) are the granted values.

    ``status`` is false, and there is no stream, where the node has no such session.
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
    """A node's state, as published at each heartbeat.

    ``runtimes``: runtimes of its sessions, the preferred one first; empty: only ``runtime``, which is the first of
    them. ``unavailable``: runtimes that cannot start a session at present.

    ``score``: lower is less loaded. ``sessions``: how many are live, starting or about to start. ``instance``: random,
    new at each start of the daemon. ``heartbeat``: seconds between two heartbeats. ``dropped``: requests that could not
    be answered since its start. ``capacity``: most sessions; null: no limit. ``draining``: takes no new sessions.
    ``deaf``: does not receive published messages. ``copied``: another daemon uses its id, so it takes no requests.
    ``counted``: creates seen so far that it was expected to take. ``per_session``: score added by each session.
    ``sent``: its own monotonic clock, meaningful only to the node itself.
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
    """An event: ``cloud.up``, ``session.running``, ...; ``time`` in Unix seconds.

    ``name`` and ``labels``: the session's, where it has any. ``request``, ``image``, ``progress`` (text for people) and
    ``done`` (from 0 to 1, null where that is unknown) come with ``session.pulling``.
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
    """``bytes`` bytes from ``offset`` on are no longer available; null: the number is unknown."""

    offset: int
    bytes: int | None


class StreamKeepalive(msgspec.Struct, frozen=True, tag_field="kind", tag="alive"):
    """No new output: everything before ``offset`` was sent."""

    offset: int


class StreamEnd(msgspec.Struct, frozen=True, tag_field="kind", tag="end"):
    """The end of the output: the session is in this ``state``, and everything before ``offset`` was sent."""

    offset: int
    state: str
    exit_code: int | UnsetType | None = UNSET
    reason: str | UnsetType = UNSET


class StreamClosed(msgspec.Struct, frozen=True, tag_field="kind", tag="closed"):
    """The node has no such stream (any more): to continue, a viewer opens a new one."""

    reason: str


StreamMessage = StreamOutput | StreamSkipped | StreamKeepalive | StreamEnd | StreamClosed


_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """A message as UTF-8 JSON."""
    return _encoder.encode(message)


def error_response(request_type: type[Request], node: str, session: str, error: ErrorBody) -> Response:
    """The response to a request that is rejected or failed. ``session`` is the one it named (create: ignored)."""
    if request_type is CreateRequest:
        return CreateResponse(cloud=node, id=None, error=error)
    return RESPONSES[request_type.op](cloud=node, id=session, status=False, error=error)  # type: ignore[call-arg]
