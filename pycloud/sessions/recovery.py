"""Recovery of sessions that outlived the previous daemon, and of work that it left unfinished."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

import redis
from gevent.lock import BoundedSemaphore

from pycloud.errors import RequestError
from pycloud.protocol.session import Session, State
from pycloud.runtimes import Phase, RecoveredSession
from pycloud.sessions.manager import SessionManager
from pycloud.store.records import RECORD_TTL
from pycloud.store.requests import RESPONSE_TTL, Claim

log = logging.getLogger(__name__)

#: The most seconds between the last heartbeat of a node and a create that it takes.
MAX_HEARTBEAT_GAP = 15.0


def session_of(recovered: RecoveredSession) -> Session:
    """The session that a runtime recovered, in its present state."""
    record = recovered.record
    session = Session(
        id=recovered.session,
        request=record["request"],
        digest=record["digest"],
        token=record["token"],
        host=record["host"],
        created=record["created"],
        runtime=record.get("runtime", "script"),
        answered=record.get("answered", False),
        name=record.get("name"),
        labels=record.get("labels", {}),
    )
    if recovered.started:
        session.mark_running(recovered.started.port, recovered.started.started, recovered.started.ports)
        if recovered.exit:
            session.mark_exited(recovered.exit.exit_code, recovered.exit.reason, recovered.exit.ended)
    if recovered.phase is Phase.REMOVED:
        session.transition(State.REMOVED)
    return session


class SessionRecovery:
    """Takes charge of the sessions that a runtime recovers.

    ``spawn`` runs a function in a greenlet that a stop waits for. ``mark_seen`` is called with each session, whose
    create was received before.
    """

    def __init__(
        self, manager: SessionManager, spawn: Callable[..., None], mark_seen: Callable[[Session], None]
    ) -> None:
        self._manager, self._spawn, self._mark_seen = manager, spawn, mark_seen
        self._unfinished: list[RecoveredSession] = []
        self._lock = BoundedSemaphore()

    def adopt(self, recovered: Iterable[RecoveredSession]) -> None:
        """Take charge of recovered sessions: requests about them can be answered from now on. Needs no Redis."""
        for each in recovered:
            self._manager.adopt(session_of(each))
            self._unfinished.append(each)

    def resume(self) -> list[Session]:
        """Finish the previous daemon's work: creates not answered, removals not carried out.

        Returns the sessions for which that is done; what cannot be done now is retried at the next call.
        """
        with self._lock:
            recovered, done = list(self._unfinished), list[Session]()
            for each in recovered:
                session = self._manager.sessions.get(each.session)
                if session is None or self._resume_session(session, each):
                    self._unfinished.remove(each)
                    done += [session] if session else []
            if done:
                log.info("adopted %d sessions, %d of them alive", len(done), self._manager.alive)
            return done

    def resume_deferred(self) -> None:
        """The same for sessions recovered, or work possible, only after the start; also writes records and events."""
        sessions = self.resume() if self._unfinished else []
        write_sessions(self._manager, [session for session in sessions if session.answered], report_adopted=True)
        for session in sessions:
            if session.alive and session.answered:
                self._manager.event_publisher.publish("session.adopted", session)

    def _resume_session(self, session: Session, recovered: RecoveredSession) -> bool:
        """Finish the work for one session; False where that cannot be done now."""
        self._mark_seen(session)
        try:
            if recovered.removal is not None:
                self._spawn(_resume_removal, self._manager, session, recovered.removal)
            elif not session.answered:
                _resume_create(self._manager, session)
                if recovered.exit and session.state is State.EXITED:  # not watched: that begins with its response
                    self._manager.event_publisher.publish("session.exited", session)
        except (RequestError, redis.RedisError) as error:
            log.error("session %s: cannot finish its recovery yet, will retry: %s", session.id, error)
            return False
        return True


def write_sessions(manager: SessionManager, sessions: Iterable[Session], *, report_adopted: bool) -> None:
    """Write sessions to Redis, and publish the events that were missed: ends and, with ``report_adopted``, adoptions.

    An adoption is missed where a session that is alive was recorded as lost.
    """
    for session, before, after in manager.session_store.write_records(sessions):
        manager.event_publisher.publish_missed(session, before, after, report_adopted=report_adopted)


def publish_adopted(manager: SessionManager) -> None:
    """Publish which sessions were there before this daemon, and are alive.

    Other nodes may have marked them as lost before they received this node's heartbeat: those are recorded again.
    """
    alive = [session for session in manager.sessions.values() if session.alive and session.answered]
    lost = manager.session_store.filter_lost(session.id for session in alive)
    manager.session_store.write_records(session for session in alive if session.id in lost and session.alive)
    for session in alive:
        if session.alive:
            manager.event_publisher.publish("session.adopted", session)


def _resume_removal(manager: SessionManager, session: Session, removal: Mapping[str, str]) -> None:
    """Carry on with a removal. ``removal``: the note from its beginning; empty where no request is to be answered."""
    if not removal:
        manager.remover.remove_or_defer(session)
        return
    claim = Claim("remove", removal["request"], removal["digest"], removal["token"])
    manager.remover.remove_claimed(session, claim)


def _resume_create(manager: SessionManager, session: Session) -> None:
    """Answer the create of a session, unless that was done: its requester may not have a response yet."""
    if manager.session_store.get_record(session.id):
        # The record is written with the response, in one call: so the response was given.
        manager.mark_answered(session)
        manager.session_store.write_records([session])
    elif _was_never_answered(manager, session):
        log.warning(
            "session %s: its create was never answered, and is too old to be answered now; removing the session",
            session.id,
        )
        manager.remover.remove_or_defer(session)
    else:
        manager.answer_create(session)


def _was_never_answered(manager: SessionManager, session: Session) -> bool:
    """Whether the create of a session without a record was certainly never answered, and is too old to be answered.

    Another node may have answered it since, and Redis may have forgotten that.
    """
    now = manager.now()
    if now - session.created <= RESPONSE_TTL / 1000:
        return False
    return record_should_exist(
        session, now, manager.session_store.last_heartbeat_at()
    ) or manager.session_store.has_request(session.request)


def record_should_exist(session: Session, now: float, last_heartbeat: float | None) -> bool:
    """Whether Redis would have the record of an answered session: it has not lost its data, nor let it expire.

    ``last_heartbeat``: when this node last sent a heartbeat before ``now``, as far as Redis knows (Unix seconds).
    """
    return (
        last_heartbeat is not None
        and last_heartbeat > session.created - MAX_HEARTBEAT_GAP
        and now - session.created < RECORD_TTL / 1000
    )
