"""Routes requests: this node acts now, later, or leaves one to other nodes. Decided here, carried out elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from functools import partial
from time import monotonic
from typing import Any

import gevent
import msgspec
from gevent.pool import Group

from pycloud.cluster.deferred_requests import MAX_DEFERRALS, DeferredRequests
from pycloud.cluster.failover import FailoverResponder
from pycloud.cluster.membership import Membership
from pycloud.cluster.seen_requests import SeenRequests
from pycloud.errors import NoMatch, RequestError
from pycloud.protocol.decoding import RejectedRequest
from pycloud.protocol.keys import owner_of
from pycloud.protocol.messages import CreateRequest, RemoveRequest, Request, StatusRequest
from pycloud.protocol.session import Session
from pycloud.sessions.manager import SessionManager
from pycloud.store.request_claimer import RequestDeadlines
from pycloud.store.requests import CLAIM_VALIDITY, STATUS_RESPONSE_TTL

log = logging.getLogger(__name__)

#: Seconds after a restart of Redis within which all alive nodes have restored what it may have forgotten.
RESYNC_GRACE = 3.0

NO_MATCHING_NODE = NoMatch("no cloud that fits heard this create; ask again")

#: Seconds for which a request counts as just received: a requester repeats it, or gives up, within about that time.
FRESHNESS = 4.0
#: The same for a status: shorter than its response is stored, so that it is not answered twice.
STATUS_FRESHNESS = 0.75 * STATUS_RESPONSE_TTL / 1000

Action = Callable[[], Any]


class Source(Enum):
    """How a request was received: a description for the log, and the replay interval of a stored response.

    The response is published again unless that was done within so many seconds. None: the request is not known to be a
    repeat, so a response that was just given is not published again.
    """

    PUBLISHED = "a request channel", None
    REPEATED = "a request channel, again", 0.0
    DIRECT = "the direct channel", 0.0
    EXPIRED_CLAIM = "the lapsed claims", None  # its claimant stopped renewing; all nodes check these
    # Claimed by this node: after a restart of Redis no other node may finish it.
    OWN_EXPIRED_CLAIM = "our lapsed claims", None
    DEFERRED = "standby", None  # no node had claimed it in time
    DEFERRED_WE_ARE_NEXT = "standby, as the next", None  # the same, and this node is the next to try
    # A repeat that the first node may not have answered.
    DEFERRED_REPEAT_WE_ARE_NEXT = "standby, as the next, again", 1.0

    def __init__(self, description: str, replay_interval: float | None) -> None:
        self.description, self.replay_interval = description, replay_interval


EXPIRED_CLAIM_SOURCES = (Source.EXPIRED_CLAIM, Source.OWN_EXPIRED_CLAIM)
FIRST_RECEIPT_SOURCES = (Source.PUBLISHED, Source.DIRECT, *EXPIRED_CLAIM_SOURCES)
OUR_TURN_SOURCES = (Source.DEFERRED_WE_ARE_NEXT, Source.DEFERRED_REPEAT_WE_ARE_NEXT)
#: Handled at once, whichever node comes first by now.
ACT_NOW_SOURCES = (Source.DIRECT, Source.OWN_EXPIRED_CLAIM, *OUR_TURN_SOURCES)
REPEAT_SOURCES = (Source.REPEATED, Source.DEFERRED_REPEAT_WE_ARE_NEXT)
#: May have been answered before Redis was restarted.
POSSIBLY_ANSWERED_SOURCES = (Source.REPEATED, Source.DEFERRED, *OUR_TURN_SOURCES)
#: Requests that the owner of a session answers.
SESSION_REQUESTS = (StatusRequest, RemoveRequest)


class ReceivedRequest(msgspec.Struct, frozen=True):
    """A request and how it was received; ``deferrals``: how often it was deferred before."""

    request: Request | RejectedRequest
    payload: bytes
    source: Source
    deferrals: int
    deadlines: RequestDeadlines


class Decision(msgspec.Struct, frozen=True):
    """This node's position among those that handle a request (None: it is not one), and the action if it takes it.

    ``too_early``: it is too early to act on the present membership.
    """

    position: int | None
    action: Action
    too_early: bool = False


class Router:
    """Hands requests to ``manager``, ``failover`` or ``deferred_requests``, depending on ``membership``."""

    def __init__(
        self,
        manager: SessionManager,
        membership: Membership,
        failover: FailoverResponder,
        deferred_requests: DeferredRequests,
    ) -> None:
        self._manager, self._membership, self._failover, self._deferred_requests = (
            manager,
            membership,
            failover,
            deferred_requests,
        )
        self._work = Group()
        self._seen_requests = SeenRequests()
        self._resync_until = 0.0

    def route(
        self,
        request: Request | RejectedRequest,
        payload: bytes,
        source: Source,
        deferrals: int = 0,
        deadlines: RequestDeadlines | None = None,
    ) -> None:
        """Handle, defer or drop a request. Never blocks.

        ``deferrals``: how often it was deferred before; ``deadlines``: then those from when it was first received.
        """
        if request.direct_only:
            self.spawn(self._manager.direct_handlers[request.op], request)
            return
        if (
            source in FIRST_RECEIPT_SOURCES
            and self._seen_requests.check_and_add(request.op, request.id)
            and source is Source.PUBLISHED
        ):
            source = Source.REPEATED
        now = monotonic()
        deadlines = (
            msgspec.structs.replace(deadlines, replay_interval=source.replay_interval)
            if deadlines
            else self._deadlines_of(request, source, now)
        )
        received = ReceivedRequest(request, payload, source, deferrals, deadlines)
        if now > deadlines.valid_until:
            log.debug(
                "%s %.80r was kept for too long: others may have answered it, and forgotten", request.op, request.id
            )
        elif isinstance(request, SESSION_REQUESTS) and request.session in self._manager.sessions:
            self._answer_as_owner(request, received)
        else:
            self._act_or_defer(received, self._decide(received, now))

    def on_server_changed(self) -> None:
        """Redis was restarted: until all nodes have restored their responses there, a repeated create may look new."""
        self._resync_until = monotonic() + RESYNC_GRACE

    def mark_seen(self, session: Session) -> None:
        """Record the create of an adopted session as received: a repeat of it gets the stored response."""
        self._seen_requests.check_and_add(CreateRequest.op, session.request)

    def finish(self, timeout: float) -> None:
        """Wait for work in progress, at most ``timeout`` seconds."""
        self._work.join(timeout)

    def _deadlines_of(self, request: Request | RejectedRequest, source: Source, now: float) -> RequestDeadlines:
        """The deadlines of a request received now: until when it counts as just received, and may be begun at all."""
        if isinstance(request, StatusRequest):
            return RequestDeadlines(source.replay_interval, now + STATUS_FRESHNESS, now + STATUS_FRESHNESS)
        if source in EXPIRED_CLAIM_SOURCES:
            return RequestDeadlines(source.replay_interval, now + FRESHNESS, now + CLAIM_VALIDITY)
        # A request received before this node is confirmed again may have waited for it while it was frozen.
        fresh_until = now + FRESHNESS if self._membership.confirmed(now) else now
        return RequestDeadlines(
            source.replay_interval, fresh_until, self._membership.stream_started_at() + CLAIM_VALIDITY
        )

    def _act_or_defer(self, received: ReceivedRequest, decision: Decision) -> None:
        """Act at once where this node comes first and its membership is confirmed; otherwise later, or never."""
        now, source = monotonic(), received.source
        if decision.too_early or (now < self._resync_until and _unsafe_before_resync(received)):
            self._defer(received, decision.position, delay_longest=True)
        elif source in ACT_NOW_SOURCES or (decision.position == 0 and self._membership.confirmed(now)):
            self.spawn(decision.action)
        elif source is not Source.EXPIRED_CLAIM:
            self._defer(received, decision.position)

    def _defer(self, received: ReceivedRequest, position: int | None, *, delay_longest: bool = False) -> None:
        deadlines, repeat = received.deadlines, received.source in REPEAT_SOURCES
        self._deferred_requests.add(
            position,
            received.request,
            received.payload,
            deadlines,
            received.deferrals,
            repeat=repeat,
            delay_longest=delay_longest,
        )

    def _decide(self, received: ReceivedRequest, now: float) -> Decision:
        request, payload, deadlines = received.request, received.payload, received.deadlines
        if isinstance(request, RejectedRequest):
            action = partial(self._manager.claimer.reject_malformed, request, payload, deadlines)
            return Decision(self._membership.responder_position(now), action)
        if isinstance(request, CreateRequest):
            return self._decide_create(request, received, now)
        assert isinstance(request, SESSION_REQUESTS)
        owner, own = owner_of(request.session), self._membership.own_id
        if owner is not None and owner != own and self._membership.is_alive(owner, now):
            return Decision(None, _ignore)
        position = 0 if owner == own else self._membership.responder_position(now)
        too_early = owner not in (None, own) and self._membership.in_grace_period(str(owner), now)
        return Decision(position, partial(self._failover.answer, request, payload, deadlines), too_early)

    def _decide_create(self, request: CreateRequest, received: ReceivedRequest, now: float) -> Decision:
        source = received.source
        position: int | None
        error: RequestError | None
        if source is Source.DIRECT:
            position, error = 0, self._rejection_for(request)
        else:
            # A repeat makes no session; where it does after all, the next heartbeat corrects the count.
            position, error = self._membership.position(request, now, count=source is Source.PUBLISHED)
            if error is not None:
                too_early = self._membership.too_early_to_reject(request, now)
                return Decision(position, partial(self._reject, request, received, error), too_early)
            if source in OUR_TURN_SOURCES and not self._membership.self_matches(request):
                return Decision(position, partial(self._defer_to_responder, request, received))
            if source in ACT_NOW_SOURCES and not self._membership.self_matches(request):
                error = NO_MATCHING_NODE
        if error is not None:
            return Decision(position, partial(self._reject, request, received, error))
        return Decision(position, partial(self._create, request, received))

    def _rejection_for(self, request: CreateRequest) -> RequestError | None:
        """The error for a create sent to this node alone that it does not carry out; None: it does."""
        if not self._membership.self_matches(request):
            return NoMatch("this cloud is not what the request asks for")
        return self._manager.rejection_for(request)

    def _reject(self, request: CreateRequest, received: ReceivedRequest, error: RequestError) -> None:
        self._manager.claimer.reject(request, received.payload, error, received.deadlines)

    def _create(self, request: CreateRequest, received: ReceivedRequest) -> None:
        if received.source in EXPIRED_CLAIM_SOURCES:
            log.warning("taking over create %.80r: the cloud that claimed it fell silent", request.id)
        error = self._manager.create(request, received.payload, received.deadlines)
        if error is not None:
            # The other nodes may have seen it claimed, and dropped it.
            self._forward(request, received, error)

    def _defer_to_responder(self, request: CreateRequest, received: ReceivedRequest) -> None:
        """Handle a create that no matching node received, though one exists by now.

        The first responder forwards it, the others defer it.
        """
        if self._membership.responder_position(monotonic()) == 0:
            self._forward(request, received, NO_MATCHING_NODE)
        else:
            self._defer(received, 0, delay_longest=True)

    def _forward(self, request: CreateRequest, received: ReceivedRequest, error: RequestError) -> None:
        """Send a create to the next candidate and check it later; where that cannot be done, answer ``error``."""
        other = self._membership.next_candidate(request, monotonic())
        if other is None or received.source is Source.DIRECT or received.deferrals >= MAX_DEFERRALS:
            self._reject(request, received, error)
        else:
            self._manager.session_store.forward(request.op, received.payload, other)
            self._defer(received, 0, delay_longest=True)

    def _answer_as_owner(self, request: StatusRequest | RemoveRequest, received: ReceivedRequest) -> None:
        session, now = self._manager.sessions[request.session], monotonic()
        if isinstance(request, RemoveRequest):
            self.spawn(self._manager.remove, session, request, received.payload, received.deadlines)
        elif self._membership.confirmed(now) and received.source not in EXPIRED_CLAIM_SOURCES:
            self._manager.status(session, request, valid=self._membership.confirmed_until() - now)
        else:
            # A request that was claimed is done only when a claim is committed.
            self.spawn(self._manager.status_with_claim, session, request, received.payload, received.deadlines)

    def spawn(self, work: Callable[..., Any], *args: Any) -> None:
        """Run ``work`` in a greenlet of its own, which a stop waits for."""
        self._work.start(gevent.Greenlet(_guarded, work, *args))


def _guarded(work: Callable[..., Any], *args: Any) -> None:
    try:
        work(*args)
    except Exception:
        # A bug, or an error from Redis: logged with its traceback, and the other requests continue.
        log.exception("a request could not be carried out")


def _unsafe_before_resync(received: ReceivedRequest) -> bool:
    """Whether, before Redis is resynchronized, this could make a second session: with the same id, or the same name."""
    request, source = received.request, received.source
    if not isinstance(request, CreateRequest) or source in EXPIRED_CLAIM_SOURCES:
        return False
    return source in POSSIBLY_ANSWERED_SOURCES or request.name is not None


def _ignore() -> None:
    """The action for a request that another node handles: none."""
