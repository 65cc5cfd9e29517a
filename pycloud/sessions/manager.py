"""This cloud: its sessions, and what it does about each request. One handler per request.

What comes in is decoded in ``intake.py``, what was there before this daemon is settled in ``adoption.py``.
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
    """Sessions by id, and the handlers. ``stop_grace`` and ``remember`` are seconds; ``clock`` gives Unix seconds.

    ``capacity``: the most sessions that it takes; None: no limit.
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
        #: Who carries out the requests that are for this cloud alone, by op.
        self.log_streams = LogStreams(identity.id, self.sessions, runtime, request_store)
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
        #: It takes no creates any more.
        self.draining = False
        #: Creates that are ours to carry out and have not become sessions yet.
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
        """How many sessions live."""
        return len(self._alive_ids)

    @property
    def load(self) -> int:
        """How many sessions live, start or are about to."""
        return len(self._alive_ids) + self.pending_creates

    @property
    def full(self) -> bool:
        """Whether one more session would be too many. Tries to claim do not count: they may come to nothing."""
        return self.draining or (
            self.capacity is not None and len(self._alive_ids) + self._claimed_creates >= self.capacity
        )

    def rejection_for(self, request: CreateRequest) -> RequestError | None:
        """Why a create that nobody else was asked for cannot be carried out here; None: it can be."""
        runtime_name = self.runtime.choose(request.runtimes)
        if runtime_name is None:
            return self._starter.wrong_runtime(request)
        if reason := self.runtime.unavailable_reason(runtime_name):
            return EngineUnavailable(reason)
        if self.draining or (self.capacity is not None and self.load >= self.capacity):
            return self._no_capacity()
        return None

    def create(self, request: CreateRequest, payload: bytes, deadlines: RequestDeadlines) -> RequestError | None:
        """Claim, start, answer; what was started for a claim that was lost is removed again.

        Why not, where this cloud turned out to be full, or without what it needs: the claim is given back, and somebody
        else may take it.
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
        """Tell the requester of a session that runs, and everybody else; or remove it, where others have answered."""
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
        """Its requester has been told of it."""
        session.answered = True
        self.runtime.annotate(session.id, {"answered": True})
        # Last, and without a pause before it is no longer ``underway``: it must not count twice.
        if session.alive and session.id in self.sessions:
            self._alive_ids.add(session.id)
            self.exit_watcher.watch(session.id)

    def status(self, session: Session, request: StatusRequest, valid: float) -> None:
        """Answer from memory for one of our sessions; ``valid``: seconds for which nobody can have spoken for us."""
        self.request_store.publish_response("status", request.id, status_response(session), max_age=valid)

    def status_with_claim(
        self, session: Session, request: StatusRequest, payload: bytes, deadlines: RequestDeadlines
    ) -> None:
        """The same while others may speak for us: whoever claims the answer gives it."""
        if claim := self.claimer.claim(request, payload, deadlines):
            self.request_store.commit(claim, status_response(session), retryable=True, deadline=deadlines.valid_until)

    def remove(self, session: Session, request: RemoveRequest, payload: bytes, deadlines: RequestDeadlines) -> None:
        """End one of our sessions, and answer once it is gone."""
        if claim := self.claimer.claim(request, payload, deadlines):
            self.remover.remove_claimed(session, claim)

    def logs(self, request: LogsRequest) -> None:
        """Answer with the end of a session's output."""
        self.request_store.publish_response("logs", request.id, self._tail(request))

    def adopt(self, session: Session) -> None:
        """A session that was there before this daemon."""
        self.sessions[session.id] = session
        if session.alive:
            self._alive_ids.add(session.id)
            self.exit_watcher.watch(session.id)
        elif session.state is State.REMOVED:
            self.remover.mark_already_removed(session)
        else:
            self._schedule_expiry(session)

    def _yield_name(self, session: Session, claim: Claim) -> None:
        """Another session has got the name of one that nobody was told of: it goes, and its create is refused.

        In this order: whoever finds a session here whose create is answered takes it for the one that was told.
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
        """A watcher's report."""
        session = self.sessions.get(session_id)
        if session is None or not session.alive:
            return
        session.mark_exited(exit_.exit_code, exit_.reason, exit_.ended)
        self._alive_ids.discard(session.id)
        self.log_streams.on_session_changed(session.id)
        self.event_publisher.publish("session.exited", session)
        if self.remover.is_removing(session.id):
            return  # its record goes with it; where it cannot be removed, that is said then
        self._retain_ended(session)

    def _retain_ended(self, session: Session) -> None:
        """It has ended, and stays for a while for those who ask. Does nothing where that is known."""
        if session.id in self._expiry_timers:
            return
        self._schedule_expiry(session)
        # One that nobody was told of yet is recorded with its answer: a record proves that the answer was given.
        if session.answered:
            self.session_store.write_records([session])

    def _schedule_expiry(self, session: Session) -> None:
        """An ended session is remembered for a while."""
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
        except FileNotFoundError:  # it is being removed
            return LogsResponse(self.identity.id, request.session, status=False)
        except RequestError as error:
            body = ErrorBody(error.code, error.message)
            return LogsResponse(self.identity.id, request.session, status=False, error=body)
