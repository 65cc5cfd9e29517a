"""From a claimed create to a running session."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from gevent.event import Event

from pycloud.errors import EngineUnavailable, NameTaken, RequestError, StartFailed, WrongRuntime
from pycloud.protocol.requests import CreateRequest
from pycloud.protocol.session import Session, State, new_session_id
from pycloud.runtimes import PullProgress, SessionSpec, Started
from pycloud.sessions.context import NodeContext
from pycloud.sessions.table import SessionTable
from pycloud.store.requests import Claim

log = logging.getLogger(__name__)

#: Fields of a session that are stored with it on its host, for the next daemon.
PERSISTED_FIELDS = ("request", "digest", "token", "host", "created", "runtime")
#: The same, stored only where they are not empty.
OPTIONAL_PERSISTED_FIELDS = ("name", "labels")


CANCELLED = "the session was removed while it was starting"


def persisted_fields(session: Session) -> dict[str, Any]:
    """The fields of a session that are stored with it on its host."""
    found = {name: getattr(session, name) for name in (*PERSISTED_FIELDS, *OPTIONAL_PERSISTED_FIELDS)}
    return {name: value for name, value in found.items() if value or name in PERSISTED_FIELDS}


class _PendingStart:
    """A start under way. ``error``: why it is not known yet whether anything is left of a cancelled one."""

    def __init__(self) -> None:
        self.done = Event()
        self.cancelled = False
        self.error: RequestError | None = None


class SessionStarter:
    """Starts sessions and adds them to the table."""

    def __init__(self, context: NodeContext, table: SessionTable) -> None:
        self._identity, self._runtime, self._now = context.identity, context.runtime, context.now
        self._event_publisher, self._name_reservations = (
            context.event_publisher,
            context.session_store.name_reservations,
        )
        self._table = table
        self._pending: dict[str, _PendingStart] = {}

    def start(self, request: CreateRequest, claim: Claim, load: int) -> Session:
        """Start the session of a claimed create, the ``load``-th of this node, and return it.

        Raises RequestError, and then nothing of it is left.
        """
        session, pending = self._new_session(request, claim), _PendingStart()
        if holder := self._name_reservations.reserve(session):
            raise NameTaken(request.name or "", holder)
        self._table.add(session)
        self._pending[session.id] = pending
        self._event_publisher.publish("session.starting", session)
        try:
            started = self._run(self._start_request(session, request, load, pending), pending)
        except Exception as error:
            self._table.discard(session)
            self._name_reservations.release(session)
            session.transition(State.FAILED)
            session.reason = str(error)
            self._event_publisher.publish("session.failed", session)
            if isinstance(error, RequestError):
                raise
            log.exception("session %s could not be started", session.id)
            raise StartFailed(f"the session could not be started: {error}") from error
        finally:
            del self._pending[session.id]
            pending.done.set()
        session.mark_running(started.port, started.started, started.ports)
        return session

    def cancel(self, session: str) -> bool:
        """Cancel the start of a session and wait for the end of that; False: it is not being started.

        Raises RequestError where it is not known yet that nothing of it is left; nothing will be, later.
        """
        pending = self._pending.get(session)
        if pending is None:
            return False
        pending.cancelled = True
        pending.done.wait()
        if pending.error is not None:
            raise pending.error.with_traceback(None)
        return True

    def wrong_runtime(self, request: CreateRequest) -> WrongRuntime:
        """The error for a create of which this node has none of the runtimes."""
        wanted, available = request.runtimes[0][:64], ", ".join(self._runtime.kinds)
        return WrongRuntime(f"this create needs the runtime {wanted}, and this node has only {available}")

    def _new_session(self, request: CreateRequest, claim: Claim) -> Session:
        runtime_name = self._runtime.choose(request.runtimes)
        if runtime_name is None:
            raise self.wrong_runtime(request)
        return Session(
            id=new_session_id(self._identity.id),
            request=request.id,
            digest=claim.digest,
            token=claim.token,
            host=self._identity.host,
            created=self._now(),
            runtime=runtime_name,
            name=request.name,
            labels=request.labels,
        )

    def _run(self, start_request: SessionSpec, pending: _PendingStart) -> Started:
        """Start it, unless it is cancelled meanwhile. Raises RequestError."""
        try:
            started = self._runtime.start(start_request)
        except EngineUnavailable as error:
            if not pending.cancelled:
                raise
            pending.error = error
            raise StartFailed(CANCELLED) from error  # not EngineUnavailable: no other node is to start it either
        if pending.cancelled:
            self._roll_back(start_request.session, pending)
            raise StartFailed(CANCELLED)
        return started

    def _roll_back(self, session: str, pending: _PendingStart) -> None:
        """Remove a session that runs, and whose create was not answered."""
        try:
            self._runtime.stop(session, 0, {})
        except RequestError as error:
            pending.error = error
        self._runtime.forget(session)

    def _report_progress(self, session: Session, pending: _PendingStart, progress: PullProgress) -> None:
        """Publish how far its image has been pulled.

        Raises StartFailed where the start was cancelled: the pull need not be waited for.
        """
        if pending.cancelled:
            raise StartFailed(CANCELLED)
        self._event_publisher.publish_pull_progress(session, progress)

    def _start_request(
        self, session: Session, request: CreateRequest, load: int, pending: _PendingStart
    ) -> SessionSpec:
        return SessionSpec(
            session.id,
            request.script,
            request.env,
            load,
            persisted_fields(session),
            session.runtime,
            partial(self._report_progress, session, pending),
        )
