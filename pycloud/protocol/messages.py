"""Every message on the wire, as a type (docs/protocol.md). What comes in is decoded in ``decoding.py``.

A request that is ``direct_only`` is for one cloud, and comes over its direct channel: others never hear it.

Pure. Keys are added, never renamed or removed: a client that reads only ``cloud``, ``id`` and ``status`` keeps working.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from pycloud.protocol.log_stream import FollowRequest, FollowResponse, StreamRequest
from pycloud.protocol.message_parts import COMPUTED
from pycloud.protocol.message_parts import ErrorBody as ErrorBody
from pycloud.protocol.operator_messages import DrainRequest as DrainRequest
from pycloud.protocol.operator_messages import DrainResponse as DrainResponse
from pycloud.protocol.operator_messages import InspectRequest as InspectRequest
from pycloud.protocol.operator_messages import ResourceUsage as ResourceUsage

COMPUTED_RUNTIMES: tuple[str, ...] = msgspec.field(name="(computed kinds)", default=("script",))
DEFAULT_TAIL = 64 * 1024
MAX_TAIL = 1 << 20
#: A cloud counts as away when it was not heard for so many of its heartbeats.
HEARTBEATS_MISSED = 3


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


_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """A message as UTF-8 JSON."""
    return _encoder.encode(message)


def error_response(request_type: type[Request], cloud: str, session: str, error: ErrorBody) -> Response:
    """The answer to a request that is refused or failed. ``session`` is what it named (create: ignored)."""
    if request_type is CreateRequest:
        return CreateResponse(cloud=cloud, id=None, error=error)
    return RESPONSES[request_type.op](cloud=cloud, id=session, status=False, error=error)  # type: ignore[call-arg]
