"""Requests, each kind declared once: its fields on the wire, its response, and how nodes handle it (docs/protocol.md).

To add a kind, add a class here and to ``REQUESTS``, and a handler: for a direct one in
``SessionManager.direct_handlers``, for one about a session in ``SessionManager`` and ``FailoverResponder``. Pure. Keys
are added, never renamed or removed.
"""

from __future__ import annotations

from typing import ClassVar, Self

import msgspec

from pycloud.errors import BadRequest, ScriptTooLarge
from pycloud.protocol.container_spec import possible_runtimes
from pycloud.protocol.messages import (
    ACK,
    OUTPUT,
    CreateResponse,
    DrainResponse,
    FollowResponse,
    InspectResponse,
    LogsResponse,
    RemoveResponse,
    Response,
    StatusResponse,
)
from pycloud.protocol.validation import validate_env, validate_labels, validate_name

DEFAULT_TAIL = 64 * 1024
MAX_TAIL = 1 << 20
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


class _Identified(msgspec.Struct, frozen=True):
    id: str


class Request(_Identified, frozen=True, kw_only=True):
    """What all requests have, and what is declared of each kind. ``id`` is chosen by the requester.

    ``op``: its name on the wire. ``response``: the type of its response. ``direct_only``: it is sent to one node's
    channel and never broadcast. ``names_session``: it is about the session ``session``, whose owner handles it.
    ``read_only``: it changes nothing, so a repeat is handled anew instead of answered from the store, and only its
    session counts for its digest. ``deferrable``: it is stored for an owner that is offline, and carried out when the
    owner is back.

    ``digest`` is computed from the payload, to distinguish a repeat from another request under the same id.
    """

    op: ClassVar[str]
    response: ClassVar[type[Response]]
    direct_only: ClassVar[bool] = False
    names_session: ClassVar[bool] = True
    read_only: ClassVar[bool] = False
    deferrable: ClassVar[bool] = False
    #: Not on the wire: a value under this name in a payload is overwritten.
    digest: str = msgspec.field(name="(computed)", default="")

    @property
    def session_id(self) -> str:
        """The session that it is about; empty for a request that names none."""
        return self.session if self.names_session else ""  # type: ignore[attr-defined]

    def validate(self, max_script_bytes: int) -> None:
        """Raises BadRequest where no node could carry it out, ScriptTooLarge over ``max_script_bytes``."""
        if self.names_session and not self.session_id:
            raise BadRequest(f"{self.op}: `session` is empty; it must be the id of a session, 20 hex digits")

    def with_computed_fields(self) -> Self:
        """The request with the fields that are computed from others, except ``digest``, which is empty."""
        return msgspec.structs.replace(self, digest="") if self.digest else self


class CreateRequest(Request, frozen=True):
    """Start ``script`` as a session. ``env`` is added to the session's environment.

    ``where``: labels that its node must have. ``cloud``: id of the one node that must take it. ``runtime``: the name of
    a runtime, built in (``script``, ``docker``) or a plugin; null: derived from the script. ``name``: unique among live
    sessions. ``labels``: for finding the session.

    ``runtimes`` is computed from these: the runtimes that can run the session, the preferred one first.
    """

    op: ClassVar[str] = "create"
    response: ClassVar = CreateResponse
    names_session: ClassVar[bool] = False
    script: str
    env: dict[str, str] = {}
    where: dict[str, str] = {}
    cloud: str | None = None
    runtime: str | None = None
    name: str | None = None
    labels: dict[str, str] = {}
    runtimes: tuple[str, ...] = msgspec.field(name="(computed kinds)", default=("script",))

    def validate(self, max_script_bytes: int) -> None:
        """Raises BadRequest, ScriptTooLarge."""
        if not self.script:
            raise BadRequest("create: `script` is empty")
        size = len(self.script.encode())
        if size > max_script_bytes:
            raise ScriptTooLarge(
                f"the script has {size} bytes, over the limit of {max_script_bytes} (max_script_bytes)"
            )
        if self.env:
            validate_env(self.env)
        if self.name is not None:
            validate_name(self.name)
        if self.labels:
            validate_labels(self.labels)

    def with_computed_fields(self) -> Self:
        """With ``runtimes``. A runtime that no node has is a matter of placement (``wrong_runtime``)."""
        runtimes = possible_runtimes(self.script) if self.runtime is None else (self.runtime,)
        return msgspec.structs.replace(self, digest="", runtimes=runtimes)


class StatusRequest(Request, frozen=True):
    """Return the state of ``session``."""

    op: ClassVar[str] = "status"
    response: ClassVar = StatusResponse
    read_only: ClassVar[bool] = True
    session: str


class RemoveRequest(Request, frozen=True):
    """End ``session`` and delete its data."""

    op: ClassVar[str] = "remove"
    response: ClassVar = RemoveResponse
    deferrable: ClassVar[bool] = True
    session: str


class LogsRequest(Request, frozen=True):
    """Send the newest ``bytes`` (at most MAX_TAIL) of the output of ``session``."""

    op: ClassVar[str] = "logs"
    response: ClassVar = LogsResponse
    direct_only: ClassVar[bool] = True
    session: str
    bytes: int = DEFAULT_TAIL

    def validate(self, max_script_bytes: int) -> None:
        """Raises BadRequest."""
        super().validate(max_script_bytes)
        if not 0 < self.bytes <= MAX_TAIL:
            raise BadRequest(f"logs: `bytes` is {self.bytes}; it must be from 1 to {MAX_TAIL}")


class InspectRequest(Request, frozen=True):
    """Return everything that its node knows about ``session``, and its present resource usage."""

    op: ClassVar[str] = "inspect"
    response: ClassVar = InspectResponse
    direct_only: ClassVar[bool] = True
    session: str


class DrainRequest(Request, frozen=True):
    """Take no new sessions from now on (``draining``), or take them again.

    ``cloud``: id of the node that is meant; another node rejects the request.
    """

    op: ClassVar[str] = "drain"
    response: ClassVar = DrainResponse
    direct_only: ClassVar[bool] = True
    names_session: ClassVar[bool] = False
    draining: bool
    cloud: str | None = None


class FollowRequest(Request, frozen=True):
    """Open a stream of the output of ``session``.

    It begins at byte ``offset``; or with the newest ``tail`` bytes or ``lines`` lines; or with output written ``since``
    (Unix seconds; together with ``lines``: at most so many lines). ``place`` accompanies ``offset``: the resume token
    of the last output before it. ``once``: the stream ends where the output ended at the time of the request.
    """

    op: ClassVar[str] = "follow"
    response: ClassVar = FollowResponse
    direct_only: ClassVar[bool] = True
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

    def validate(self, max_script_bytes: int) -> None:
        """Raises BadRequest where no node could carry it out."""
        super().validate(max_script_bytes)
        starts = {"offset": self.offset, "tail": self.tail, "lines": self.lines, "since": self.since}
        given = [name for name, value in starts.items() if value is not None]
        if self.kind != OUTPUT:
            raise BadRequest(f"follow: `kind` is {self.kind[:64]!r}; the only kind is {OUTPUT}")
        if len(given) > 1 and given != ["lines", "since"]:
            raise BadRequest(
                f"follow: {' and '.join(f'`{name}`' for name in given)} cannot both set where the output begins"
            )
        for name, maximum in {"offset": MAX_OFFSET, "tail": MAX_OFFSET, "lines": MAX_LINES}.items():
            if not 0 <= (starts[name] or 0) <= maximum:
                raise BadRequest(f"follow: `{name}` is {starts[name]}; it must be from 0 to {maximum}")

    @property
    def granted_window(self) -> int:
        """The most bytes in transit without an acknowledgement: the requested window, within its limits."""
        return max(MIN_WINDOW, min(MAX_WINDOW, self.window))

    @property
    def granted_lease(self) -> float:
        """The seconds that the stream stays open without a viewer's message: the requested lease, within its limits."""
        return max(MIN_LEASE, min(MAX_LEASE, self.lease))


class StreamRequest(Request, frozen=True):
    """A viewer's message in stream ``id``. ``ack``: output before ``offset`` is processed. ``close``: end the stream.

    Every such message renews the stream's lease, whatever its kind.
    """

    op: ClassVar[str] = "stream"
    response: ClassVar = FollowResponse
    direct_only: ClassVar[bool] = True
    session: str
    kind: str = ACK
    offset: int = 0


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
