"""From a claimed create to a running session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from pycloud.errors import RequestError, StartFailed, WrongRuntime
from pycloud.identity import Identity
from pycloud.ledger import Claim
from pycloud.messages import CreateRequest
from pycloud.runtimes import Order
from pycloud.runtimes.several import Runtimes
from pycloud.sessions import Session, State, new_session_id
from pycloud.telling import Teller

log = logging.getLogger(__name__)

#: What of a session is kept with it on its host, to be found again by the next daemon.
KEPT = ("request", "digest", "token", "host", "created", "runtime")


class Starter:
    """Adds to ``sessions`` (by id) what it starts; ``now`` gives Unix seconds."""

    def __init__(
        self,
        identity: Identity,
        runtime: Runtimes,
        teller: Teller,
        sessions: dict[str, Session],
        now: Callable[[], float],
    ) -> None:
        self._identity, self._runtime, self._teller = identity, runtime, teller
        self._sessions, self._now = sessions, now

    def start(self, request: CreateRequest, claim: Claim, load: int) -> Session:
        """Start the session of a claimed create, the ``load``-th of this cloud.

        Raises RequestError, and then nothing of it is left.
        """
        session = self._session(request, claim)
        self._sessions[session.id] = session
        self._teller.tell("session.starting", session)
        try:
            started = self._runtime.start(self._order(session, request, load))
        except Exception as error:
            del self._sessions[session.id]
            session.move(State.FAILED)
            session.reason = str(error)
            self._teller.tell("session.failed", session)
            if isinstance(error, RequestError):
                raise
            log.exception("session %s could not be started", session.id)
            raise StartFailed(f"it could not be started: {error}") from error
        session.run(started.port, started.started, started.ports)
        return session

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
            digest=request.digest,
            token=claim.token,
            host=self._identity.host,
            created=self._now(),
            runtime=kind,
        )

    def _order(self, session: Session, request: CreateRequest, load: int) -> Order:
        return Order(
            session.id,
            request.script,
            request.env,
            load,
            {name: getattr(session, name) for name in KEPT},
            session.runtime,
            partial(self._teller.tell_pulling, session),
        )
