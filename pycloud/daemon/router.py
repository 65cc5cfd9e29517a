"""The way of a request through this node: received, decided about, carried out.

``route`` is where every request arrives. What to do is decided in ``decisions.py``, from what ``membership`` knows of
the nodes; claiming, starting and answering follow in ``sessions/manager.py``. A request that another node should handle
is deferred, and comes back to ``reconsider`` where no node has claimed it in time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

import gevent
from gevent.pool import Group

from pycloud.cluster.deferred_requests import MAX_DEFERRALS, DeferredRequest, DeferredRequests
from pycloud.cluster.failover import FailoverResponder
from pycloud.cluster.membership import Assessment, Membership
from pycloud.cluster.seen_requests import SeenRequests
from pycloud.daemon.decisions import NO_MATCHING_NODE, Action, Decision, When, decide
from pycloud.errors import RequestError
from pycloud.protocol import received as sources
from pycloud.protocol.decoding import RejectedRequest
from pycloud.protocol.received import ReceivedRequest, Source
from pycloud.protocol.requests import CreateRequest, RemoveRequest, Request, StatusRequest
from pycloud.protocol.session import Session
from pycloud.sessions.manager import SessionManager
from pycloud.store.requests import CLAIM_VALIDITY, STATUS_RESPONSE_TTL

log = logging.getLogger(__name__)

#: Seconds after which all online nodes have written again what a restarted Redis may have forgotten.
RESYNC_GRACE = 3.0
#: Seconds for which a request is fresh: within about this time its requester repeats it or gives up.
FRESHNESS = 4.0
#: The same for a read-only request: shorter than the time that its response is stored, so that it is answered once.
READ_ONLY_FRESHNESS = 0.75 * STATUS_RESPONSE_TTL / 1000


class Router:
    """Hands requests to ``manager``, ``failover`` or ``deferred_requests``, by what ``membership`` knows."""

    def __init__(
        self,
        manager: SessionManager,
        membership: Membership,
        failover: FailoverResponder,
        deferred_requests: DeferredRequests,
    ) -> None:
        self._manager, self._membership = manager, membership
        self._deferred_requests = deferred_requests
        deferred_requests.on_unclaimed = self.reconsider
        self._actions: dict[Action, Callable[[ReceivedRequest, RequestError], None]] = {
            Action.CREATE: self._create,
            Action.REJECT: manager.claimer.reject,
            Action.ANSWER_FOR_OWNER: lambda received, _error: failover.answer(received),
            Action.FORWARD: self._forward_if_responder,
        }
        self._owner_handlers: dict[str, Callable[[Session, ReceivedRequest, Assessment], None]] = {
            StatusRequest.op: self._answer_status,
            RemoveRequest.op: self._remove,
        }
        self._work = Group()
        self._seen_requests = SeenRequests()
        self._resync_until = 0.0
        #: True: handle no requests (another daemon uses this node's id).
        self.paused = False

    def route(self, request: Request | RejectedRequest, payload: bytes, source: Source) -> None:
        """Handle a request, or have it handled. Never waits."""
        if self.paused:
            return
        if request.direct_only:
            self.spawn(self._manager.direct_handlers[request.op], request)
            return
        if not source.repeat and self._seen_requests.check_and_add(request.op, request.id) and source.fresh:
            source = sources.REPEATED
        now = monotonic()
        assessment = self._membership.assess(request, source, now)
        self._handle(receive(request, payload, source, assessment, now), assessment, now)

    def reconsider(self, deferred: DeferredRequest) -> None:
        """Handle a deferred request that no node has claimed in time."""
        source = sources.DEFERRED
        if deferred.our_turn:
            repeat = deferred.received.source.repeat
            source = sources.DEFERRED_REPEAT_OUR_TURN if repeat else sources.DEFERRED_OUR_TURN
        if not self.paused:
            now, request = monotonic(), deferred.received.request
            self._handle(deferred.received.again(source), self._membership.assess(request, source, now), now)

    def on_server_changed(self) -> None:
        """Redis was restarted: a repeated create may look new until all nodes have written their responses again."""
        self._resync_until = monotonic() + RESYNC_GRACE

    def mark_seen(self, session: Session) -> None:
        """Record the create of a recovered session as received: a repeat of it is answered again."""
        self._seen_requests.check_and_add(CreateRequest.op, session.request)

    def finish(self, timeout: float) -> None:
        """Wait for the work in progress, at most ``timeout`` seconds."""
        self._work.join(timeout)

    def spawn(self, work: Callable[..., Any], *args: Any) -> None:
        """Carry something out in a greenlet of its own; a stop waits for it."""
        self._work.start(gevent.Greenlet(_guarded, work, *args))

    def _handle(self, received: ReceivedRequest, assessment: Assessment, now: float) -> None:
        if now > received.valid_until:
            op, request_id = received.request.op, received.request.id
            log.debug("dropped %s %.80r: it waited too long, and another node may have answered it", op, request_id)
        elif session := self._manager.sessions.get(received.session_id):
            self._owner_handlers[received.request.op](session, received, assessment)
        else:
            if received.source.fresh and assessment.taker is not None:
                self._membership.count_create(assessment.taker)
            self._act(received, decide(received, assessment, self._local_error(received), now < self._resync_until))

    def _act(self, received: ReceivedRequest, decision: Decision) -> None:
        if decision.when is When.NOW:
            self.spawn(self._actions[decision.action], received, decision.error)
        elif decision.when is not When.NEVER:
            longest = decision.when is When.DEFER_LONGEST
            self._deferred_requests.add(received, decision.position, delay_longest=longest)

    def _local_error(self, received: ReceivedRequest) -> RequestError | None:
        """Why this node cannot carry out a create that was sent to it alone."""
        request = received.request
        if received.source.direct and isinstance(request, CreateRequest):
            return self._manager.rejection_for(request)
        return None

    def _answer_status(self, session: Session, received: ReceivedRequest, assessment: Assessment) -> None:
        # An expired claim is released by answering under a claim of one's own.
        if assessment.confirmed and not received.source.expired_claim:
            valid = assessment.confirmed_until - monotonic()
            self._manager.status(session, received.request.id, valid=valid)
        else:
            self.spawn(self._manager.status_with_claim, session, received)

    def _remove(self, session: Session, received: ReceivedRequest, _assessment: Assessment) -> None:
        self.spawn(self._manager.remove, session, received)

    def _create(self, received: ReceivedRequest, _error: RequestError | None) -> None:
        if received.source.expired_claim:
            log.warning("taking over create %.80r: its claim has expired", received.request.id)
        error = self._manager.create(received)
        if error is not None:
            # The other nodes may have found it claimed, and dropped it.
            self._forward(received, error)

    def _forward_if_responder(self, received: ReceivedRequest, _error: RequestError | None) -> None:
        """Of the nodes that received a create and do not match it, the responder forwards it; the others wait."""
        if self._membership.responder_position(monotonic()) == 0:
            self._forward(received, NO_MATCHING_NODE)
        else:
            self._deferred_requests.add(received, 0, delay_longest=True)

    def _forward(self, received: ReceivedRequest, error: RequestError) -> None:
        """Send a create to the next candidate, and check later that it took it; without one, answer ``error``."""
        request = received.request
        assert isinstance(request, CreateRequest)
        other = self._membership.next_candidate(request, monotonic())
        if other is None or received.source.direct or received.deferrals >= MAX_DEFERRALS:
            self._manager.claimer.reject(received, error)
        else:
            self._manager.session_store.forward(request.op, received.payload, other)
            self._deferred_requests.add(received, 0, delay_longest=True)


def receive(
    request: Request | RejectedRequest, payload: bytes, source: Source, assessment: Assessment, now: float
) -> ReceivedRequest:
    """The request with its deadlines, as of ``now`` (monotonic seconds)."""
    if isinstance(request, Request) and request.read_only:
        return ReceivedRequest(request, payload, source, now + READ_ONLY_FRESHNESS, now + READ_ONLY_FRESHNESS)
    if source.expired_claim:
        return ReceivedRequest(request, payload, source, now + FRESHNESS, now + CLAIM_VALIDITY)
    # A request that is received before the membership is confirmed may have waited while this node was frozen.
    fresh_until = now + FRESHNESS if assessment.confirmed else now
    return ReceivedRequest(request, payload, source, fresh_until, assessment.published_after + CLAIM_VALIDITY)


def _guarded(work: Callable[..., Any], *args: Any) -> None:
    try:
        work(*args)
    except Exception:
        # A bug, or an error of Redis: logged with its traceback; other requests are handled on.
        log.exception("a request could not be carried out")
