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
from pycloud.runtimes.composite import Runtimes
from pycloud.sessions.events import Teller
from pycloud.sessions.log_streams import Following
from pycloud.sessions.remover import Remover
from pycloud.sessions.starter import Starter
from pycloud.sessions.watcher import Watchers
from pycloud.store.request_claimer import Claiming, Reception
from pycloud.store.requests import Claim, Ledger, Outcome
from pycloud.store.sessions import Registry

log = logging.getLogger(__name__)


class Cloud:
    """Sessions by id, and the handlers. ``stop_grace`` and ``remember`` are seconds; ``clock`` gives Unix seconds.

    ``capacity``: the most sessions that it takes; None: no limit.
    """

    def __init__(
        self,
        identity: Identity,
        runtime: Runtimes,
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
        #: Who carries out the requests that are for this cloud alone, by op.
        self.following = Following(identity.id, self.sessions, runtime, ledger)
        self.direct: dict[str, Callable[[Any], None]] = {LogsRequest.op: self.logs, **self.following.handlers}
        self.claiming = Claiming(identity.id, ledger)
        self.watchers = Watchers(runtime, self._ended)
        self.teller = Teller(identity.id, registry, clock)
        self._starter = Starter(identity, runtime, self.teller, self.sessions, registry.session_names, clock)
        self.capacity = capacity
        #: It takes no creates any more.
        self.draining = False
        #: Creates that are ours to carry out and have not become sessions yet.
        self.underway = 0
        self._admitted = 0
        self._living: set[str] = set()
        self._remember, self.now = remember, clock
        self._to_forget: dict[str, gevent.Greenlet] = {}
        parts = (runtime, ledger, registry, self.claiming, self.teller, self._starter)
        callbacks = (self._remember_end, self._drop)
        self.remover = Remover(*parts, self.sessions, *callbacks, stop_grace=stop_grace, clock=clock)

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
        """Whether one more session would be too many. Tries to claim do not count: they may come to nothing."""
        return self.draining or (self.capacity is not None and len(self._living) + self._admitted >= self.capacity)

    def why_not(self, request: CreateRequest) -> RequestError | None:
        """Why a create that nobody else was asked for cannot be carried out here; None: it can be."""
        kind = self.runtime.choose(request.kinds)
        if kind is None:
            return self._starter.wrong_runtime(request)
        if trouble := self.runtime.trouble(kind):
            return EngineUnavailable(trouble)
        if self.draining or (self.capacity is not None and self.load >= self.capacity):
            return self._no_capacity()
        return None

    def create(self, request: CreateRequest, payload: bytes, came: Reception) -> RequestError | None:
        """Claim, start, answer; what was started for a claim that was lost is removed again.

        Why not, where this cloud turned out to be full, or without what it needs: the claim is given back, and somebody
        else may take it.
        """
        self.underway += 1
        try:
            claim = self.claiming.claim(request, payload, came)
            if claim is None:
                return None
            if self.full:
                self.ledger.release(claim)
                return self._no_capacity()
            return self._carry_out(request, claim, came.known_until)
        finally:
            self.underway -= 1

    def answer_create(self, session: Session) -> None:
        """Tell the requester of a session that runs, and everybody else; or remove it, where others have answered."""
        claim = Claim.of(session)
        event = self.teller.event("session.running", session)
        fault_points.point("create.started")
        until = self.claiming.claims.known_until(claim)
        outcome = self.ledger.commit(claim, create_response(session), record=session, event=event, until=until)
        if outcome is Outcome.LOST:
            log.warning("session %s: another cloud has answered its request; it is removed", session.id)
            self.remover.discard(session)
            return
        if outcome is Outcome.NAMED:
            self._give_way(session, claim)
            return
        fault_points.point("create.committed")
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

    def status_with_claim(self, session: Session, request: StatusRequest, payload: bytes, came: Reception) -> None:
        """The same while others may speak for us: whoever claims the answer gives it."""
        if claim := self.claiming.claim(request, payload, came):
            self.ledger.commit(claim, status_response(session), passing=True, until=came.known_until)

    def remove(self, session: Session, request: RemoveRequest, payload: bytes, came: Reception) -> None:
        """End one of our sessions, and answer once it is gone."""
        if claim := self.claiming.claim(request, payload, came):
            self.remover.carry_out(session, claim)

    def logs(self, request: LogsRequest) -> None:
        """Answer with the end of a session's output."""
        self.ledger.answer("logs", request.id, self._tail(request))

    def adopt(self, session: Session) -> None:
        """A session that was there before this daemon."""
        self.sessions[session.id] = session
        if session.alive:
            self._living.add(session.id)
            self.watchers.watch(session.id)
        elif session.state is State.REMOVED:
            self.remover.found_removed(session)
        else:
            self._forget_later(session)

    def _give_way(self, session: Session, claim: Claim) -> None:
        """Another session has got the name of one that nobody was told of: it goes, and its create is refused.

        In this order: whoever finds a session here whose create is answered takes it for the one that was told.
        """
        name = str(session.name)
        holder = self.registry.session_names.holder(name) or "unknown by now"
        log.warning("session %s: its name %s went to session %s; it is removed", session.id, name, holder)
        self.remover.discard(session)
        self.claiming.refuse_create(claim, NameTaken(name, holder))

    def _no_capacity(self) -> NoCapacity:
        return NoCapacity(f"this cloud is {'draining' if self.draining else 'full'}")

    def _carry_out(self, request: CreateRequest, claim: Claim, known_until: float) -> RequestError | None:
        self._admitted += 1
        try:
            fault_points.point("create.claimed")
            with self.claiming.claims.working(claim, known_until):
                return self._start(request, claim)
        finally:
            self._admitted -= 1

    def _start(self, request: CreateRequest, claim: Claim) -> RequestError | None:
        try:
            session = self._starter.start(request, claim, self.load)
        except EngineUnavailable as error:
            self.ledger.release(claim)
            return error
        except RequestError as error:
            self.claiming.answer_refusal(claim, request, error)
        else:
            self.answer_create(session)
        return None

    def _ended(self, session_id: str, exit_: Exit) -> None:
        """A watcher's report."""
        session = self.sessions.get(session_id)
        if session is None or not session.alive:
            return
        session.exit(exit_.exit_code, exit_.reason, exit_.ended)
        self._living.discard(session.id)
        self.following.changed(session.id)
        self.teller.tell("session.exited", session)
        if self.remover.is_ending(session.id):
            return  # its record goes with it; where it cannot be removed, that is said then
        self._remember_end(session)

    def _remember_end(self, session: Session) -> None:
        """It has ended, and stays for a while for those who ask. Does nothing where that is known."""
        if session.id in self._to_forget:
            return
        self._forget_later(session)
        # One that nobody was told of yet is recorded with its answer: a record proves that the answer was given.
        if session.answered:
            self.registry.announce([session])

    def _forget_later(self, session: Session) -> None:
        """An ended session is remembered for a while."""
        left = (session.ended or self.now()) + self._remember - self.now()
        self._to_forget[session.id] = gevent.spawn_later(max(0.0, left), self._forget, session)

    def _forget(self, session: Session) -> None:
        self._to_forget.pop(session.id, None)
        if session.id in self.sessions and session.state is not State.REMOVED:
            self.teller.tell_news(session, self.registry.erase(session), session.state)
            self._drop(session)

    def _drop(self, session: Session) -> None:
        self.watchers.unwatch(session.id)
        if later := self._to_forget.pop(session.id, None):
            later.kill(block=False)
        self.sessions.pop(session.id, None)
        self._living.discard(session.id)
        self.runtime.forget(session.id)
        self.following.changed(session.id)

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
