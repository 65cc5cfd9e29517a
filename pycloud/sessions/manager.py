"""This node's sessions, and the handlers of requests, one per request.

Requests are decoded in ``intake.py``; sessions from before this daemon are handled in ``recovery.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import time
from typing import Any, cast

from pycloud import fault_points
from pycloud.config.identity import Identity
from pycloud.errors import EngineUnavailable, NameTaken, NoCapacity, RequestError
from pycloud.protocol.messages import ErrorBody, LogsResponse
from pycloud.protocol.received import ReceivedRequest
from pycloud.protocol.requests import CreateRequest, LogsRequest, StatusRequest
from pycloud.protocol.responses import create_response, logs_response, status_response
from pycloud.protocol.session import Session, State
from pycloud.runtimes.composite import CompositeRuntime
from pycloud.sessions.context import NodeContext
from pycloud.sessions.events import EventPublisher
from pycloud.sessions.log_streams import LogStreams
from pycloud.sessions.remover import SessionRemover
from pycloud.sessions.starter import SessionStarter
from pycloud.sessions.table import SessionTable
from pycloud.store.request_claimer import RequestClaimer
from pycloud.store.requests import Claim, CommitResult, RequestStore
from pycloud.store.sessions import SessionStore

log = logging.getLogger(__name__)


class SessionManager:
    """Sessions by id, and the handlers. ``stop_grace`` and ``retention`` are seconds; ``clock`` gives Unix seconds.

    ``capacity``: the most sessions that this node accepts; None: no limit.
    """

    def __init__(
        self,
        identity: Identity,
        runtime: CompositeRuntime,
        request_store: RequestStore,
        session_store: SessionStore,
        *,
        stop_grace: float,
        retention: float,
        capacity: int | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self.claimer = RequestClaimer(identity.id, request_store)
        self.event_publisher = EventPublisher(identity.id, session_store, clock)
        self.identity, self.runtime, self.now = identity, runtime, clock
        self.request_store, self.session_store = request_store, session_store
        self.sessions: dict[str, Session] = {}
        self.log_streams = LogStreams(identity.id, self.sessions, runtime, request_store)
        context = NodeContext(
            identity, runtime, request_store, session_store, self.claimer, self.event_publisher, clock
        )
        self.table = SessionTable(context, self.sessions, self.log_streams, retention)
        self._starter = SessionStarter(context, self.table)
        self.remover = SessionRemover(context, self.table, self._starter, stop_grace)
        #: The handlers of requests that are addressed to one node directly, by op.
        self.direct_handlers: dict[str, Callable[[Any], None]] = {
            LogsRequest.op: self.logs,
            **self.log_streams.handlers,
        }
        self.capacity = capacity
        #: True: this node accepts no new sessions.
        self.draining = False
        #: Number of creates that this node tries to carry out and that have not become sessions yet.
        self.pending_creates = 0
        self._claimed_creates = 0

    @property
    def alive(self) -> int:
        """Number of alive sessions; those that are being started do not count yet."""
        return self.table.alive

    @property
    def load(self) -> int:
        """Number of sessions that are alive, starting or about to start."""
        return self.alive + self.pending_creates

    @property
    def full(self) -> bool:
        """Whether one more session would be too many. Creates not yet claimed do not count: the claim may fail."""
        return self.draining or (self.capacity is not None and self.alive + self._claimed_creates >= self.capacity)

    def rejection_for(self, request: CreateRequest) -> RequestError | None:
        """The error for a create sent to this node alone that cannot be carried out here; None: it can be."""
        runtime_name = self.runtime.choose(request.runtimes)
        if runtime_name is None:
            return self._starter.wrong_runtime(request)
        if reason := self.runtime.unavailable_reason(runtime_name):
            return EngineUnavailable(reason)
        if self.draining or (self.capacity is not None and self.load >= self.capacity):
            return self._no_capacity()
        return None

    def create(self, received: ReceivedRequest) -> RequestError | None:
        """Claim a create, start its session and answer; a session whose claim was lost is removed again.

        Returns an error where this node turned out to be full or its engine unavailable: the claim is released, and
        another node may take the create. Otherwise None.
        """
        self.pending_creates += 1
        try:
            claim = self.claimer.claim(received)
            if claim is None:
                return None
            if self.full:
                self.request_store.release(claim)
                return self._no_capacity()
            fault_points.fault_point("create.claimed")
            with self.claimer.hold(claim, received.valid_until):
                return self._start_and_answer(cast(CreateRequest, received.request), claim)
        finally:
            self.pending_creates -= 1

    def _start_and_answer(self, request: CreateRequest, claim: Claim) -> RequestError | None:
        self._claimed_creates += 1
        try:
            session = self._starter.start(request, claim, self.load)
        except EngineUnavailable as error:
            self.request_store.release(claim)
            return error
        except RequestError as error:
            self.claimer.reject_claimed(claim, error)
        else:
            self.answer_create(session)
        finally:
            self._claimed_creates -= 1
        return None

    def answer_create(self, session: Session) -> None:
        """Publish the response and the event for a running session.

        The session is removed instead where another node has answered, or another session has its name.
        """
        claim = Claim.of(session)
        event = self.event_publisher.event("session.running", session)
        fault_points.fault_point("create.started")
        deadline = self.claimer.valid_until(claim)
        outcome = self.request_store.commit(
            claim, create_response(session), record=session, event=event, deadline=deadline
        )
        if outcome is CommitResult.CLAIM_LOST:
            log.warning("session %s: another node has answered its request; removing the session", session.id)
            self.remover.remove_unanswered(session)
            return
        if outcome is CommitResult.NAME_TAKEN:
            self._yield_name(session, claim)
            return
        fault_points.fault_point("create.committed")
        self.mark_answered(session)

    def mark_answered(self, session: Session) -> None:
        """Record that a session's create was answered, and watch for the session's end."""
        session.answered = True
        self.runtime.annotate(session.id, {"answered": True})
        # Last, and without a switch of greenlets before ``pending_creates`` is decreased: it must not count twice.
        self.table.mark_alive(session)

    def status(self, session: Session, request_id: str, valid: float) -> None:
        """Answer from memory for a session of this node.

        ``valid``: seconds from now within which no other node can have answered for it; not answered later than that.
        """
        self.request_store.publish_response(StatusRequest.op, request_id, status_response(session), max_age=valid)

    def status_with_claim(self, session: Session, received: ReceivedRequest) -> None:
        """The same while other nodes may answer for this one: the node that gets the claim answers."""
        if claim := self.claimer.claim(received):
            self.request_store.commit(claim, status_response(session), retryable=True, deadline=received.valid_until)

    def remove(self, session: Session, received: ReceivedRequest) -> None:
        """Claim a remove, end the session, and answer once it is gone."""
        if claim := self.claimer.claim(received):
            self.remover.remove_claimed(session, claim)

    def logs(self, request: LogsRequest) -> None:
        """Answer with the end of a session's output."""
        self.request_store.publish_response("logs", request.id, self._tail(request))

    def adopt(self, session: Session) -> None:
        """Add a session that existed before this daemon."""
        self.table.add(session)
        if session.alive:
            self.table.mark_alive(session)
        elif session.state is State.REMOVED:
            self.remover.mark_already_removed(session)
        else:
            self.table.schedule_expiry(session)

    def _yield_name(self, session: Session, claim: Claim) -> None:
        """Remove a session that is not answered and whose name another session has by now; reject its create.

        In this order: a session found here whose create is answered is taken for the one in that response.
        """
        name = str(session.name)
        holder = self.session_store.name_reservations.holder(name) or "unknown"
        log.warning("session %s: its name %s now belongs to session %s; removing the former", session.id, name, holder)
        self.remover.remove_unanswered(session)
        self.claimer.reject_claimed(claim, NameTaken(name, holder))

    def _no_capacity(self) -> NoCapacity:
        return NoCapacity(f"this node is {'draining' if self.draining else 'full'}")

    def _tail(self, request: LogsRequest) -> LogsResponse:
        if request.session not in self.sessions:
            return LogsResponse(self.identity.id, request.session, status=False)
        try:
            return logs_response(self.identity.id, request.session, *self.runtime.tail(request.session, request.bytes))
        except FileNotFoundError:  # the session is being removed
            return LogsResponse(self.identity.id, request.session, status=False)
        except RequestError as error:
            body = ErrorBody(error.code, error.message)
            return LogsResponse(self.identity.id, request.session, status=False, error=body)
