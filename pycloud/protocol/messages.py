"""What nodes send, as types (docs/protocol.md): responses, heartbeats, events, streams. Requests are in
``requests.py``.

Pure. Keys are added, never renamed or removed: a client that reads only ``cloud``, ``id`` and ``status`` keeps working.
"""

from __future__ import annotations

from typing import Any, Self

import msgspec
from msgspec import UNSET, UnsetType

#: Heartbeats without which a node counts as offline.
HEARTBEATS_MISSED = 3

#: Kinds of messages in a stream. Reserved for future streams with input: ``input``, ``resize``, ``signal``.
OUTPUT, ACK, CLOSE = "output", "ack", "close"


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a request was rejected or failed: a stable code for programs, a sentence for people.

    ``session``: the conflicting session (``name_taken``).
    """

    code: str
    message: str
    session: str | UnsetType = UNSET


class BaseResponse(msgspec.Struct, frozen=True):
    """What all responses have in common."""

    @classmethod
    def rejection(cls, node: str, session: str, error: ErrorBody) -> Self:
        """The response to a request that is rejected or failed; ``session`` is the one that it named."""
        return cls(cloud=node, id=session, status=False, error=error)


class CreateResponse(BaseResponse, frozen=True):
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

    @classmethod
    def rejection(cls, node: str, session: str, error: ErrorBody) -> Self:
        """The response to a create that is rejected or failed: there is no session."""
        return cls(cloud=node, id=None, error=error)


class StatusResponse(BaseResponse, frozen=True):
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


class RemoveResponse(BaseResponse, frozen=True):
    """``status`` is true when the session existed and was removed, false when there was nothing to remove."""

    cloud: str
    id: str
    status: bool
    error: ErrorBody | UnsetType = UNSET


class LogsResponse(BaseResponse, frozen=True):
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


class DrainResponse(BaseResponse, frozen=True):
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


class FollowResponse(BaseResponse, frozen=True):
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
