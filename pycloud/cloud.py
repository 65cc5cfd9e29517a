"""This cloud: its sessions, and what it does about each request. One handler per request.

What comes in is decoded in ``intake.py``, what was there before this daemon is settled in ``adoption.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import time

import gevent
import msgspec

from pycloud.answers import create_response, logs_response, status_response
from pycloud.claims import Claims
from pycloud.decoding import Refused
from pycloud.errors import Abandoned, IdConflict, RequestError
from pycloud.identity import Identity
from pycloud.keeper import faults
from pycloud.messages import (
    CreateRequest,
    ErrorBody,
    Event,
    LogsRequest,
    LogsResponse,
    RemoveRequest,
    RemoveResponse,
    Request,
    StatusRequest,
    StatusResponse,
    refusal,
)
from pycloud.names import owner_of
from pycloud.registry import Claim, Outcome, Registry, Verdict
from pycloud.runtimes import Exit, Order, Runtime
from pycloud.sessions import Session, State, new_session_id
from pycloud.watcher import Watchers

log = logging.getLogger(__name__)


class Cloud:
    """Sessions by id, and the handlers. ``stop_grace`` and ``remember`` are seconds; ``clock`` gives Unix seconds."""

    def __init__(
        self,
        identity: Identity,
        runtime: Runtime,
        registry: Registry,
        *,
        stop_grace: float,
        remember: float,
        clock: Callable[[], float] = time,
    ) -> None:
        self.identity, self.runtime, self.registry = identity, runtime, registry
        self.sessions: dict[str, Session] = {}
        self.claims = Claims(registry)
        self.watchers = Watchers(runtime, self._ended)
        self._stop_grace, self._remember, self.now = stop_grace, remember, clock

    @property
    def alive(self) -> int:
        """How many sessions live."""
        return sum(session.alive for session in self.sessions.values())

    def create(self, request: CreateRequest, payload: bytes) -> None:
        """Claim, start, answer; what was started for a claim that was lost is removed again."""
        claim = self._claimed(request, payload)
        if claim is None:
            return
        faults.point("create.claimed")
        with self.claims.working(claim):
            try:
                session = self._start(request, claim)
            except RequestError as error:
                self._refuse(claim, CreateRequest, "", error)
            else:
                self.answer_create(session)

    def answer_create(self, session: Session) -> None:
        """Tell the requester of a session that runs, and everybody else; or remove it, where others have answered."""
        claim = Claim("create", session.request, session.digest, session.token)
        event = self._event("session.running", session)
        faults.point("create.started")
        outcome = self.registry.commit(claim, create_response(session), record=session, event=event)
        if outcome is Outcome.LOST:
            log.warning("session %s: another cloud has answered its request; it is removed", session.id)
            self.discard(session)
            return
        faults.point("create.committed")
        session.answered = True
        self.watchers.watch(session.id)
        self.runtime.note(session.id, {"answered": True})

    def status(self, request: StatusRequest) -> bool:
        """Answer from memory what is ours; False where it is not, and ``absent`` has to look into it."""
        session = self.sessions.get(request.session)
        if session is None:
            return False
        self.registry.answer("status", request.id, status_response(session))
        return True

    def remove(self, request: RemoveRequest, payload: bytes) -> None:
        """End a session, and answer once it is gone."""
        session = self.sessions.get(request.session)
        if session is None:
            self.absent(request, payload)
        elif claim := self._claimed(request, payload):
            self.carry_out_removal(session, claim)

    def carry_out_removal(self, session: Session, claim: Claim) -> None:
        """The claimed removal: journaled before the first signal, so that a daemon that dies here goes on with it."""
        note = {"request": claim.id, "digest": claim.digest, "token": claim.token}
        with self.claims.working(claim):
            faults.point("remove.claimed")
            self.runtime.stop(session.id, self._stop_grace, note)
            faults.point("remove.stopped")
            self.answer_removal(session, claim)

    def answer_removal(self, session: Session, claim: Claim) -> None:
        """Say that a session is gone, and forget it."""
        if session.state is not State.REMOVED:
            session.move(State.REMOVED)
        response = RemoveResponse(self.identity.id, session.id, status=True)
        event = self._event("session.removed", session)
        outcome = self.registry.commit(claim, response, erase=session, event=event)
        faults.point("remove.committed")
        if outcome is not Outcome.COMMITTED:
            self.registry.erase(session.id)
        self._drop(session)

    def logs(self, request: LogsRequest) -> None:
        """Answer with the end of a session's output."""
        self.registry.answer("logs", request.id, self._tail(request))

    def absent(self, request: StatusRequest | RemoveRequest, payload: bytes) -> None:
        """A status or remove of a session that is not ours: answered only where no living cloud owns it."""
        owner = owner_of(request.session)
        if owner not in (None, self.identity.id) and self.registry.lives(str(owner)):
            return
        if claim := self._claimed(request, payload):
            answer = StatusResponse if isinstance(request, StatusRequest) else RemoveResponse
            response = answer(self.identity.id, request.session, status=False)
            self.registry.commit(claim, response, passing=answer is StatusResponse)

    def refuse(self, refused: Refused, payload: bytes) -> None:
        """Answer what was wrong with a request that could be decoded no further."""
        claim = self._claimed_as(refused.request, refused.id, refused.session, refused.digest, payload)
        if claim:
            self._refuse(claim, refused.request, refused.session, refused.error)

    def adopt(self, session: Session) -> None:
        """A session that was there before this daemon."""
        self.sessions[session.id] = session
        if session.alive:
            self.watchers.watch(session.id)
        elif session.state is not State.REMOVED:
            self._forget_later(session)

    def discard(self, session: Session, grace: float = 0) -> None:
        """Remove a session without being asked to; one that nobody was told of needs no grace."""
        self.runtime.stop(session.id, grace, {})
        self.finish_discarding(session)

    def finish_discarding(self, session: Session) -> None:
        """What is left to do for a session that was discarded: nobody waits for an answer."""
        self.registry.erase(session.id)
        self._tell("session.removed", session)
        self._drop(session)

    def remove_all(self) -> None:
        """End every session (setting ``on_stop``), side by side."""
        sessions = list(self.sessions.values())
        gevent.joinall([gevent.spawn(self.discard, session, self._stop_grace) for session in sessions])

    def _claimed(self, request: Request, payload: bytes) -> Claim | None:
        session = "" if isinstance(request, CreateRequest) else request.session
        return self._claimed_as(type(request), request.id, session, request.digest, payload)

    def _claimed_as(self, kind: type[Request], id_: str, session: str, digest: str, payload: bytes) -> Claim | None:
        """The claim to carry a request out; None where that is done: replayed, refused, or somebody else's."""
        claim = Claim(kind.op, id_, digest)
        verdict, response = self.registry.claim(claim, payload)
        if verdict is Verdict.CLAIMED:
            return claim
        if verdict is Verdict.ANSWERED:
            self.registry.replay(claim, response)
        elif verdict is Verdict.ABANDONED:
            self._refuse(claim, kind, session, Abandoned("the clouds that tried to carry this out died over it"))
        elif verdict is Verdict.CONFLICT:
            self._refuse_conflict(claim, kind, session)
        return None

    def _refuse_conflict(self, claim: Claim, kind: type[Request], session: str) -> None:
        """Its answer is claimed and remembered apart: that of the first request under this id stays what it was."""
        apart = Claim(claim.op, claim.id, claim.digest, variant=claim.digest)
        verdict, response = self.registry.claim(apart, b"")
        if verdict is Verdict.CLAIMED:
            reason = "this id was used before, with another payload; a new request needs a new id"
            self._refuse(apart, kind, session, IdConflict(reason))
        elif verdict is Verdict.ANSWERED:
            self.registry.replay(apart, response)

    def _refuse(self, claim: Claim, kind: type[Request], session: str, error: RequestError) -> None:
        response = refusal(kind, self.identity.id, session, ErrorBody(error.code, error.message))
        self.registry.commit(claim, response, passing=error.passing or kind is StatusRequest)

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
            started = self.runtime.start(Order(session.id, request.script, request.env, self.alive, record))
        except RequestError as error:
            del self.sessions[session.id]
            session.move(State.FAILED)
            session.reason = error.message
            self._tell("session.failed", session)
            raise
        session.run(started.port, started.started)
        return session

    def _ended(self, session_id: str, exit_: Exit) -> None:
        """A watcher's report."""
        session = self.sessions.get(session_id)
        if session is None or not session.alive:
            return
        session.exit(exit_.exit_code, exit_.reason, exit_.ended)
        self._tell("session.exited", session)
        self._forget_later(session)
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
        self.runtime.forget(session.id)

    def _tail(self, request: LogsRequest) -> LogsResponse:
        if request.session not in self.sessions:
            return LogsResponse(self.identity.id, request.session, status=False)
        return logs_response(self.identity.id, request.session, *self.runtime.tail(request.session, request.bytes))

    def _event(self, name: str, session: Session) -> Event:
        event = Event(name, self.identity.id, self.now(), session=session.id)
        if session.state in (State.EXITED, State.FAILED):
            return msgspec.structs.replace(event, exit_code=session.exit_code, reason=session.reason)
        return event

    def _tell(self, name: str, session: Session) -> None:
        self.registry.tell(self._event(name, session))
