"""From a claimed create to a running session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from gevent.event import Event

from pycloud.config.identity import Identity
from pycloud.errors import EngineUnavailable, NameTaken, RequestError, StartFailed, WrongRuntime
from pycloud.protocol.messages import CreateRequest
from pycloud.protocol.session import Session, State, new_session_id
from pycloud.runtimes import Order, Progress, Started
from pycloud.runtimes.composite import Runtimes
from pycloud.sessions.events import Teller
from pycloud.store.requests import Claim
from pycloud.store.session_names import SessionNames

log = logging.getLogger(__name__)

#: What of a session is kept with it on its host, to be found again by the next daemon.
KEPT = ("request", "digest", "token", "host", "created", "runtime")
#: The same of those that have any.
KEPT_WHERE_ANY = ("name", "labels")


GIVEN_UP = "it was removed while it was started"


def kept_of(session: Session) -> dict[str, Any]:
    """What is kept with a session on its host."""
    found = {name: getattr(session, name) for name in (*KEPT, *KEPT_WHERE_ANY)}
    return {name: value for name, value in found.items() if value or name in KEPT}


class _Start:
    """A start under way. ``error``: why nobody knows yet whether something is left of one that was given up."""

    def __init__(self) -> None:
        self.over = Event()
        self.given_up = False
        self.error: RequestError | None = None


class Starter:
    """Adds to ``sessions`` (by id) what it starts; ``now`` gives Unix seconds."""

    def __init__(
        self,
        identity: Identity,
        runtime: Runtimes,
        teller: Teller,
        sessions: dict[str, Session],
        names: SessionNames,
        now: Callable[[], float],
    ) -> None:
        self._identity, self._runtime, self._teller = identity, runtime, teller
        self._sessions, self._names, self._now = sessions, names, now
        self._underway: dict[str, _Start] = {}

    def start(self, request: CreateRequest, claim: Claim, load: int) -> Session:
        """Start the session of a claimed create, the ``load``-th of this cloud.

        Raises RequestError, and then nothing of it is left.
        """
        session, start = self._session(request, claim), _Start()
        if holder := self._names.reserve(session):
            raise NameTaken(request.name or "", holder)
        self._sessions[session.id], self._underway[session.id] = session, start
        self._teller.tell("session.starting", session)
        try:
            started = self._run(self._order(session, request, load, start), start)
        except Exception as error:
            del self._sessions[session.id]
            self._names.release(session)
            session.move(State.FAILED)
            session.reason = str(error)
            self._teller.tell("session.failed", session)
            if isinstance(error, RequestError):
                raise
            log.exception("session %s could not be started", session.id)
            raise StartFailed(f"it could not be started: {error}") from error
        finally:
            del self._underway[session.id]
            start.over.set()
        session.run(started.port, started.started, started.ports)
        return session

    def give_up(self, session: str) -> bool:
        """Have the start of a session come to nothing, and wait until it has; False: it is not being started.

        Raises RequestError where it cannot be known yet that nothing of it is left; it will not be.
        """
        start = self._underway.get(session)
        if start is None:
            return False
        start.given_up = True
        start.over.wait()
        if start.error is not None:
            raise start.error.with_traceback(None)
        return True

    def wrong_runtime(self, request: CreateRequest) -> WrongRuntime:
        """What to say where this cloud does not run what is wanted."""
        there = ", ".join(self._runtime.kinds)
        return WrongRuntime(f"this is for runtime {request.kinds[0]}, and this cloud has {there}")

    def _session(self, request: CreateRequest, claim: Claim) -> Session:
        kind = self._runtime.choose(request.kinds)
        if kind is None:
            raise self.wrong_runtime(request)
        return Session(
            id=new_session_id(self._identity.id),
            request=request.id,
            digest=claim.digest,
            token=claim.token,
            host=self._identity.host,
            created=self._now(),
            runtime=kind,
            name=request.name,
            labels=request.labels,
        )

    def _run(self, order: Order, start: _Start) -> Started:
        """Have it run, unless it is given up meanwhile. Raises RequestError."""
        try:
            started = self._runtime.start(order)
        except EngineUnavailable as error:
            if not start.given_up:
                raise
            start.error = error
            raise StartFailed(GIVEN_UP) from error  # no other cloud is to start it either
        if start.given_up:
            self._undo(order.session, start)
            raise StartFailed(GIVEN_UP)
        return started

    def _undo(self, session: str, start: _Start) -> None:
        """Remove a session that runs, and that nobody was told of."""
        try:
            self._runtime.stop(session, 0, {})
        except RequestError as error:
            start.error = error
        self._runtime.forget(session)

    def _report(self, session: Session, start: _Start, progress: Progress) -> None:
        """Tell how far its image is. Raises StartFailed where nobody wants it any more: it need not be waited for."""
        if start.given_up:
            raise StartFailed(GIVEN_UP)
        self._teller.tell_pulling(session, progress)

    def _order(self, session: Session, request: CreateRequest, load: int, start: _Start) -> Order:
        return Order(
            session.id,
            request.script,
            request.env,
            load,
            kept_of(session),
            session.runtime,
            partial(self._report, session, start),
        )
