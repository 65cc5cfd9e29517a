"""This cloud: its sessions, and what it does about each request. One handler per request.

What comes in is decoded in ``intake.py``, what was there before this daemon is settled in ``adoption.py``.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import time

import gevent
import msgspec

from pycloud.answers import create_response, logs_response, status_response
from pycloud.claiming import Claiming
from pycloud.errors import RequestError, StartFailed
from pycloud.identity import Identity
from pycloud.keeper import faults
from pycloud.ledger import MOST_REMEMBERED, Claim, Given, Ledger, Outcome
from pycloud.messages import (
    CreateRequest,
    Event,
    LogsRequest,
    LogsResponse,
    RemoveRequest,
    RemoveResponse,
    StatusRequest,
)
from pycloud.registry import Registry
from pycloud.runtimes import Exit, Order, Runtime
from pycloud.sessions import Session, State, new_session_id
from pycloud.watcher import Watchers

log = logging.getLogger(__name__)


class Cloud:
    """Sessions by id, and the handlers. ``stop_grace`` and ``remember`` are seconds; ``clock`` gives Unix seconds.

    ``capacity``: the most sessions that it takes; None: no limit.
    """

    def __init__(
        self,
        identity: Identity,
        runtime: Runtime,
        ledger: Ledger,
        registry: Registry,
        *,
        stop_grace: float,
        remember: float,
        capacity: int | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self.identity, self.runtime, self.ledger, self.registry = identity, runtime, ledger, registry
        self.sessions: dict[str, Session] = {}
        self.claiming = Claiming(identity.id, ledger)
        self.watchers = Watchers(runtime, self._ended)
        self.capacity = capacity
        #: Creates that are ours to carry out and have not become sessions yet.
        self.underway = 0
        self._living: set[str] = set()
        #: The newest removes that were answered: for a Redis that forgets them before their requesters have heard.
        self.removals: deque[Given] = deque(maxlen=MOST_REMEMBERED)
        self._stop_grace, self._remember, self.now = stop_grace, remember, clock

    @property
    def alive(self) -> int:
        """How many sessions live."""
        return len(self._living)

    @property
    def load(self) -> int:
        """How many sessions live, start or are about to."""
        return len(self._living) + self.underway

    @property
    def full(self) -> bool:
        """Whether one more session would be too many."""
        return self.capacity is not None and self.load > self.capacity

    def create(self, request: CreateRequest, payload: bytes, *, replay: float | None) -> bool:
        """Claim, start, answer; what was started for a claim that was lost is removed again.

        False where this cloud turned out to be full: the claim is given back, somebody else may take it.
        """
        self.underway += 1
        try:
            claim = self.claiming.claim(request, payload, replay=replay)
            if claim is None:
                return True
            if self.full:
                self.ledger.release(claim)
                return False
            faults.point("create.claimed")
            with self.claiming.claims.working(claim):
                self._carry_out(request, claim)
            return True
        finally:
            self.underway -= 1

    def answer_create(self, session: Session) -> None:
        """Tell the requester of a session that runs, and everybody else; or remove it, where others have answered."""
        claim = Claim.of(session)
        event = self._event("session.running", session)
        faults.point("create.started")
        outcome = self.ledger.commit(claim, create_response(session), record=session, event=event)
        if outcome is Outcome.LOST:
            log.warning("session %s: another cloud has answered its request; it is removed", session.id)
            self.discard(session)
            return
        faults.point("create.committed")
        self.note_answered(session)

    def note_answered(self, session: Session) -> None:
        """Its requester has been told of it."""
        session.answered = True
        self.runtime.note(session.id, {"answered": True})
        # Last, and without a pause before it is no longer ``underway``: it must not count twice.
        if session.alive and session.id in self.sessions:
            self._living.add(session.id)
            self.watchers.watch(session.id)

    def status(self, session: Session, request: StatusRequest, valid: float) -> None:
        """Answer from memory for one of our sessions; ``valid``: seconds for which nobody can have spoken for us."""
        self.ledger.answer("status", request.id, status_response(session), valid=valid)

    def status_with_claim(self, session: Session, request: StatusRequest, payload: bytes) -> None:
        """The same while others may speak for us: whoever claims the answer gives it."""
        if claim := self.claiming.claim(request, payload, replay=None):
            self.ledger.commit(claim, status_response(session), passing=True)

    def remove(self, session: Session, request: RemoveRequest, payload: bytes, *, replay: float | None) -> None:
        """End one of our sessions, and answer once it is gone."""
        if claim := self.claiming.claim(request, payload, replay=replay):
            self.carry_out_removal(session, claim)

    def carry_out_removal(self, session: Session, claim: Claim) -> None:
        """The claimed removal: journaled before the first signal, so that a daemon that dies here goes on with it."""
        note = {"request": claim.id, "digest": claim.digest, "token": claim.token}
        with self.claiming.claims.working(claim):
            faults.point("remove.claimed")
            try:
                self.runtime.stop(session.id, self._stop_grace, note)
            except RequestError as error:
                self.claiming.answer_refusal(claim, RemoveRequest(claim.id, session.id), error)
                return
            faults.point("remove.stopped")
            self.answer_removal(session, claim)

    def answer_removal(self, session: Session, claim: Claim) -> None:
        """Say that a session is gone, and forget it."""
        if session.state is not State.REMOVED:
            session.move(State.REMOVED)
        response = RemoveResponse(self.identity.id, session.id, status=True)
        event = self._event("session.removed", session)
        outcome = self.ledger.commit(claim, response, erase=session, event=event)
        faults.point("remove.committed")
        if outcome is not Outcome.COMMITTED:
            self.registry.erase(session.id)
        if outcome is not Outcome.LOST:
            self.removals.append(Given(claim, response, self.now()))
        self._drop(session)

    def logs(self, request: LogsRequest) -> None:
        """Answer with the end of a session's output."""
        self.ledger.answer("logs", request.id, self._tail(request))

    def adopt(self, session: Session) -> None:
        """A session that was there before this daemon."""
        self.sessions[session.id] = session
        if session.alive:
            self._living.add(session.id)
            self.watchers.watch(session.id)
        elif session.state is not State.REMOVED:
            self._forget_later(session)

    def discard(self, session: Session, grace: float = 0) -> None:
        """Remove a session without being asked to; one that nobody was told of needs no grace."""
        self.runtime.stop(session.id, grace, {})
        self.finish_discarding(session)

    def remove_unasked(self, session: Session) -> None:
        """Remove a session in order, though nobody waits for an answer."""
        self.discard(session, self._stop_grace)

    def finish_discarding(self, session: Session) -> None:
        """What is left to do for a session that was discarded: nobody waits for an answer."""
        if session.state is not State.REMOVED:
            session.move(State.REMOVED)
        self.registry.erase(session.id)
        self._tell("session.removed", session)
        self._drop(session)

    def remove_all(self, timeout: float) -> None:
        """End every session (setting ``on_stop``), side by side; waits at most ``timeout`` seconds."""
        sessions = list(self.sessions.values())
        gevent.joinall([gevent.spawn(self.remove_unasked, session) for session in sessions], timeout)

    def _carry_out(self, request: CreateRequest, claim: Claim) -> None:
        try:
            session = self._start(request, claim)
        except RequestError as error:
            self.claiming.answer_refusal(claim, request, error)
        else:
            self.answer_create(session)

    def _start(self, request: CreateRequest, claim: Claim) -> Session:
        """Start the session of a claimed create. Raises RequestError, and then nothing of it is left."""
        session = Session(
            id=new_session_id(self.identity.id),
            request=request.id,
            digest=request.digest,
            token=claim.token,
            host=self.identity.host,
            created=self.now(),
            runtime=self.runtime.kind,
        )
        record = {
            "request": session.request,
            "digest": session.digest,
            "token": session.token,
            "host": session.host,
            "created": session.created,
            "runtime": session.runtime,
        }
        self.sessions[session.id] = session
        self._tell("session.starting", session)
        try:
            started = self.runtime.start(Order(session.id, request.script, request.env, self.load, record))
        except Exception as error:
            del self.sessions[session.id]
            session.move(State.FAILED)
            session.reason = str(error)
            self._tell("session.failed", session)
            if isinstance(error, RequestError):
                raise
            log.exception("session %s could not be started", session.id)
            raise StartFailed(f"it could not be started: {error}") from error
        session.run(started.port, started.started)
        return session

    def _ended(self, session_id: str, exit_: Exit) -> None:
        """A watcher's report."""
        session = self.sessions.get(session_id)
        if session is None or not session.alive:
            return
        session.exit(exit_.exit_code, exit_.reason, exit_.ended)
        self._living.discard(session.id)
        self._tell("session.exited", session)
        self._forget_later(session)
        # One that nobody was told of yet is recorded with its answer: a record proves that the answer was given.
        if session.answered:
            self.registry.announce([session])

    def _forget_later(self, session: Session) -> None:
        """An ended session is remembered for a while."""
        left = (session.ended or self.now()) + self._remember - self.now()
        gevent.spawn_later(max(0.0, left), self._forget, session)

    def _forget(self, session: Session) -> None:
        if session.id in self.sessions and session.state is not State.REMOVED:
            self.registry.erase(session.id)
            self._drop(session)

    def _drop(self, session: Session) -> None:
        self.watchers.unwatch(session.id)
        self.sessions.pop(session.id, None)
        self._living.discard(session.id)
        self.runtime.forget(session.id)

    def _tail(self, request: LogsRequest) -> LogsResponse:
        if request.session not in self.sessions:
            return LogsResponse(self.identity.id, request.session, status=False)
        try:
            return logs_response(self.identity.id, request.session, *self.runtime.tail(request.session, request.bytes))
        except FileNotFoundError:  # it is being removed
            return LogsResponse(self.identity.id, request.session, status=False)

    def tell_adopted(self) -> None:
        """Say which sessions were there before this daemon."""
        for session_id in list(self._living):
            self._tell("session.adopted", self.sessions[session_id])

    def _event(self, name: str, session: Session) -> Event:
        event = Event(name, self.identity.id, self.now(), session=session.id)
        if session.state in (State.EXITED, State.FAILED):
            return msgspec.structs.replace(event, exit_code=session.exit_code, reason=session.reason)
        return event

    def _tell(self, name: str, session: Session) -> None:
        self.registry.tell(self._event(name, session))
