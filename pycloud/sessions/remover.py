"""Removal of sessions, with or without a request for it; also of those that are being started."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import gevent
import redis

from pycloud import fault_points
from pycloud.errors import EngineUnavailable, RequestError
from pycloud.protocol.messages import Event, RemoveResponse
from pycloud.protocol.session import Session, State
from pycloud.sessions.context import NodeContext
from pycloud.sessions.starter import SessionStarter
from pycloud.sessions.table import SessionTable
from pycloud.store.requests import MAX_REMEMBERED_RESPONSES, Claim, CommitResult, StoredResponse

log = logging.getLogger(__name__)

UNLIMITED = float("inf")


class SessionRemover:
    """Removes sessions and takes them out of the table. ``stop_grace``: seconds between SIGTERM and SIGKILL."""

    def __init__(self, context: NodeContext, table: SessionTable, starter: SessionStarter, stop_grace: float) -> None:
        self._runtime, self._now = context.runtime, context.now
        self._request_store, self._session_store = context.request_store, context.session_store
        self._claimer, self._event_publisher = context.claimer, context.event_publisher
        self._table, self._starter, self._stop_grace = table, starter, stop_grace
        #: Sessions recovered as removed: whether that event was published is not known.
        self._already_removed: set[str] = set()
        #: Sessions to be removed without a requester that waits, where that has failed so far.
        self._deferred: set[str] = set()
        #: The newest responses to removes: for a Redis that forgets them before their requesters have received them.
        self.recent_responses: deque[StoredResponse] = deque(maxlen=MAX_REMEMBERED_RESPONSES)

    def remove_claimed(self, session: Session, claim: Claim) -> None:
        """Carry out a claimed removal and answer it.

        Journaled before the first signal, so that the next daemon continues where this one dies here.
        """
        note = {"request": claim.id, "digest": claim.digest, "token": claim.token}
        with self._claimer.hold(claim):
            fault_points.fault_point("remove.claimed")
            try:
                existed = self._terminate(session, self._stop_grace, note)
            except RequestError as error:
                self._claimer.reject_claimed(claim, error, session.id)
                return
            fault_points.fault_point("remove.stopped")
            self._answer(session, claim, existed)

    def remove_unanswered(self, session: Session) -> None:
        """Remove a session whose create was not answered, without grace, now or as soon as that can be done.

        Raises RemoveFailed, and EngineUnavailable where the request is answered even so.
        """
        try:
            self._terminate(session, 0, {})
        except EngineUnavailable:
            if session.answered:
                raise
            # No requester knows of it or waits for it: ``Runtime.forget`` has it removed later.
        self._finalize(session)

    def remove(
        self, session: Session, on_stopped: Callable[[], None] = lambda: None, max_grace: float = UNLIMITED
    ) -> None:
        """Remove a session with its grace, without a request to answer. Raises RequestError.

        ``on_stopped`` is called when none of its processes runs, before it is erased and forgotten. ``max_grace``: the
        most seconds that a grace of the session's own may take.
        """
        self._terminate(session, self._stop_grace, {}, max_grace)
        on_stopped()
        self._finalize(session)

    def remove_or_defer(self, session: Session) -> None:
        """Remove a session now, or later (``retry_deferred``) where that fails."""
        try:
            if session.answered:
                self.remove(session)
            else:
                self.remove_unanswered(session)
        except (RequestError, redis.RedisError) as error:
            if session.id not in self._deferred:
                log.warning("session %s cannot be removed yet, will retry: %s", session.id, error)
            self._deferred.add(session.id)

    def retry_deferred(self) -> None:
        """Retry all deferred removals in parallel."""
        sessions = [session for each in self._deferred if (session := self._table.get(each))]
        self._deferred.intersection_update(session.id for session in sessions)
        gevent.joinall([gevent.spawn(self.remove_or_defer, session) for session in sessions])

    def remove_all(self, timeout: float) -> None:
        """Remove every session (setting ``on_stop``) in parallel; waits at most ``timeout`` seconds."""
        greenlets = [gevent.spawn(self._try_to_remove, session) for session in list(self._table.sessions.values())]
        gevent.joinall(greenlets, timeout)
        if left := [greenlet for greenlet in greenlets if not greenlet.ready()]:
            log.warning("%d sessions are not removed yet; the next start of this node continues with them", len(left))
            gevent.killall(left)

    def mark_already_removed(self, session: Session) -> None:
        """Record that a session was removed before this daemon started."""
        self._already_removed.add(session.id)

    def _try_to_remove(self, session: Session) -> None:
        try:
            self.remove(session, max_grace=self._stop_grace)
        except RequestError as error:
            log.error("session %s could not be removed: %s", session.id, error)

    def _terminate(self, session: Session, grace: float, note: Mapping[str, Any], max_grace: float = UNLIMITED) -> bool:
        """End a session and delete what it left, whether it is starting, running or ended; False: it never ran.

        Raises RequestError.
        """
        if self._starter.cancel(session.id):
            return True
        existed = self._stop(session, grace, note, max_grace)
        return existed or session.state is not State.FAILED

    def _stop(self, session: Session, grace: float, note: Mapping[str, Any], max_grace: float) -> bool:
        with self._table.removing(session):
            try:
                return self._runtime.stop(session.id, grace, note, max_grace)
            except RequestError:
                self._table.on_removal_failed(session)
                raise

    def _answer(self, session: Session, claim: Claim, existed: bool) -> None:
        """Answer that a session is gone, publish the event, and erase the session."""
        response, event = RemoveResponse(session.node, session.id, status=existed), self._removed_event(session)
        outcome = self._request_store.commit(claim, response, erase=session, event=event)
        fault_points.fault_point("remove.committed")
        if outcome is not CommitResult.COMMITTED:
            self._session_store.erase(session)
        if outcome is CommitResult.CLAIM_LOST:
            self._event_publisher.publish_event(event)
        else:
            self.recent_responses.append(StoredResponse(claim, response, self._now()))
        self._table.forget(session)

    def _finalize(self, session: Session) -> None:
        """Erase a session that is gone, and publish the event."""
        event = self._removed_event(session)
        self._session_store.erase(session)
        self._event_publisher.publish_event(event)
        self._table.forget(session)

    def _removed_event(self, session: Session) -> Event | None:
        """The event of its removal, for the first of several removals of it to publish; None for the others."""
        self._deferred.discard(session.id)
        if session.state is not State.REMOVED:
            session.transition(State.REMOVED)
        elif session.id not in self._already_removed:
            return None
        self._already_removed.discard(session.id)
        return self._event_publisher.event("session.removed", session)
