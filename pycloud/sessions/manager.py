"""This node's sessions, and the handlers of requests, one per request.

Requests are decoded in ``intake.py``; sessions from before this daemon are handled in ``recovery.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import time
from typing import Any

import gevent

from pycloud import fault_points
from pycloud.config.identity import Identity
from pycloud.errors import EngineUnavailable, NameTaken, NoCapacity, RequestError
from pycloud.protocol.messages import CreateRequest, ErrorBody, LogsRequest, LogsResponse, RemoveRequest, StatusRequest
from pycloud.protocol.responses import create_response, logs_response, status_response
from pycloud.protocol.session import Session, State
from pycloud.runtimes import Exit
from pycloud.runtimes.composite import CompositeRuntime
from pycloud.sessions.events import EventPublisher
from pycloud.sessions.log_streams import LogStreams
from pycloud.sessions.remover import SessionRemover
from pycloud.sessions.starter import SessionStarter
from pycloud.sessions.watcher import ExitWatcher
from pycloud.store.request_claimer import RequestClaimer, RequestDeadlines
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
        self.identity, self.runtime, self.request_store, self.session_store = (
            identity,
            runtime,
            request_store,
            session_store,
        )
        self.sessions: dict[str, Session] = {}
        self.log_streams = LogStreams(identity.id, self.sessions, runtime, request_store)
        #: The handlers of requests that are addressed to one node directly, by op.
        self.direct_handlers: dict[str, Callable[[Any], None]] = {
            LogsRequest.op: self.logs,
            **self.log_streams.handlers,
        }
        self.claimer = RequestClaimer(identity.id, request_store)
        self.exit_watcher = ExitWatcher(runtime, self._on_exit)
        self.event_publisher = EventPublisher(identity.id, session_store, clock)
        self._starter = SessionStarter(
            identity, runtime, self.event_publisher, self.sessions, session_store.name_reservations, clock
        )
        self.capacity = capacity
        #: True: this node accepts no new sessions.
        self.draining = False
        #: Number of creates that this node tries to carry out and that have not become sessions yet.
        self.pending_creates = 0
        self._claimed_creates = 0
        self._alive_ids: set[str] = set()
        self._retention, self.now = retention, clock
        self._expiry_timers: dict[str, gevent.Greenlet] = {}
        parts = (runtime, request_store, session_store, self.claimer, self.event_publisher, self._starter)
        callbacks = (self._retain_ended, self._remove_from_memory)
        self.remover = SessionRemover(*parts, self.sessions, *callbacks, stop_grace=stop_grace, clock=clock)

    @property
    def alive(self) -> int:
        """Number of alive sessions; those that are being started do not count yet."""
        return len(self._alive_ids)

    @property
    def load(self) -> int:
        """Number of sessions that are alive, starting or about to start."""
        return len(self._alive_ids) + self.pending_creates

    @property
    def full(self) -> bool:
        """Whether one more session would be too many. Creates not yet claimed do not count: the claim may fail."""
        return self.draining or (
            self.capacity is not None and len(self._alive_ids) + self._claimed_creates >= self.capacity
        )

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

    def create(self, request: CreateRequest, payload: bytes, deadlines: RequestDeadlines) -> RequestError | None:
        """Claim a create, start its session and answer; a session whose claim was lost is removed again.

        Returns an error where this node turned out to be full or its engine unavailable: the claim is released, and
        another node may take the create. Otherwise None.
        """
        self.pending_creates += 1
        try:
            claim = self.claimer.claim(request, payload, deadlines)
            if claim is None:
                return None
            if self.full:
                self.request_store.release(claim)
                return self._no_capacity()
            return self._create_claimed(request, claim, deadlines.valid_until)
        finally:
            self.pending_creates -= 1

    def answer_create(self, session: Session) -> None:
        """Publish the response and the event for a running session.

        The session is removed instead where another node has answered, or another session has its name.
        """
        claim = Claim.of(session)
        event = self.event_publisher.event("session.running", session)
        fault_points.fault_point("create.started")
        deadline = self.claimer.renewer.valid_until(claim)
        outcome = self.request_store.commit(
            claim, create_response(session), record=session, event=event, deadline=deadline
        )
        if outcome is CommitResult.CLAIM_LOST:
            log.warning("session %s: another cloud has answered its request; it is removed", session.id)
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
        if session.alive and session.id in self.sessions:
            self._alive_ids.add(session.id)
            self.exit_watcher.watch(session.id)

    def status(self, session: Session, request: StatusRequest, valid: float) -> None:
        """Answer from memory for a session of this node.

        ``valid``: seconds from now within which no other node can have answered for it; not answered later than that.
        """
        self.request_store.publish_response("status", request.id, status_response(session), max_age=valid)

    def status_with_claim(
        self, session: Session, request: StatusRequest, payload: bytes, deadlines: RequestDeadlines
    ) -> None:
        """The same while other nodes may answer for this one: the node that gets the claim answers."""
        if claim := self.claimer.claim(request, payload, deadlines):
            self.request_store.commit(claim, status_response(session), retryable=True, deadline=deadlines.valid_until)

    def remove(self, session: Session, request: RemoveRequest, payload: bytes, deadlines: RequestDeadlines) -> None:
        """Claim a remove, end the session, and answer once it is gone."""
        if claim := self.claimer.claim(request, payload, deadlines):
            self.remover.remove_claimed(session, claim)

    def logs(self, request: LogsRequest) -> None:
        """Answer with the end of a session's output."""
        self.request_store.publish_response("logs", request.id, self._tail(request))

    def adopt(self, session: Session) -> None:
        """Add a session that existed before this daemon."""
        self.sessions[session.id] = session
        if session.alive:
            self._alive_ids.add(session.id)
            self.exit_watcher.watch(session.id)
        elif session.state is State.REMOVED:
            self.remover.mark_already_removed(session)
        else:
            self._schedule_expiry(session)

    def _yield_name(self, session: Session, claim: Claim) -> None:
        """Remove a session that is not answered and whose name another session has by now; reject its create.

        In this order: a session found here whose create is answered is taken for the one in that response.
        """
        name = str(session.name)
        holder = self.session_store.name_reservations.holder(name) or "unknown by now"
        log.warning("session %s: its name %s went to session %s; it is removed", session.id, name, holder)
        self.remover.remove_unanswered(session)
        self.claimer.reject_claimed_create(claim, NameTaken(name, holder))

    def _no_capacity(self) -> NoCapacity:
        return NoCapacity(f"this cloud is {'draining' if self.draining else 'full'}")

    def _create_claimed(self, request: CreateRequest, claim: Claim, valid_until: float) -> RequestError | None:
        self._claimed_creates += 1
        try:
            fault_points.fault_point("create.claimed")
            with self.claimer.renewer.hold(claim, valid_until):
                return self._start(request, claim)
        finally:
            self._claimed_creates -= 1

    def _start(self, request: CreateRequest, claim: Claim) -> RequestError | None:
        try:
            session = self._starter.start(request, claim, self.load)
        except EngineUnavailable as error:
            self.request_store.release(claim)
            return error
        except RequestError as error:
            self.claimer.reject_claimed(claim, request, error)
        else:
            self.answer_create(session)
        return None

    def _on_exit(self, session_id: str, exit_: Exit) -> None:
        """Record the end of a session, as its watcher reports it."""
        session = self.sessions.get(session_id)
        if session is None or not session.alive:
            return
        session.mark_exited(exit_.exit_code, exit_.reason, exit_.ended)
        self._alive_ids.discard(session.id)
        self.log_streams.on_session_changed(session.id)
        self.event_publisher.publish("session.exited", session)
        if self.remover.is_removing(session.id):
            return  # the removal erases its record; where it fails, it calls ``_retain_ended``
        self._retain_ended(session)

    def _retain_ended(self, session: Session) -> None:
        """Retain an ended session for requests about it, and write its record. Does nothing where that was done."""
        if session.id in self._expiry_timers:
            return
        self._schedule_expiry(session)
        # A session not answered yet is recorded with its response: a record proves that the response was given.
        if session.answered:
            self.session_store.write_records([session])

    def _schedule_expiry(self, session: Session) -> None:
        """Forget an ended session ``retention`` seconds after its end."""
        remaining = (session.ended or self.now()) + self._retention - self.now()
        self._expiry_timers[session.id] = gevent.spawn_later(max(0.0, remaining), self._expire, session)

    def _expire(self, session: Session) -> None:
        self._expiry_timers.pop(session.id, None)
        if session.id in self.sessions and session.state is not State.REMOVED:
            self.event_publisher.publish_missed(session, self.session_store.erase(session), session.state)
            self._remove_from_memory(session)

    def _remove_from_memory(self, session: Session) -> None:
        self.exit_watcher.unwatch(session.id)
        if timer := self._expiry_timers.pop(session.id, None):
            timer.kill(block=False)
        self.sessions.pop(session.id, None)
        self._alive_ids.discard(session.id)
        self.runtime.forget(session.id)
        self.log_streams.on_session_changed(session.id)

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
