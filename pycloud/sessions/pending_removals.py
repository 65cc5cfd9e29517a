"""Pending removals: requested while this node was offline, and the first thing that it does when it is back.

A pending removal stays in Redis until it is answered, and so does the session's record, so that no requester is
answered meanwhile that there was nothing to remove.
"""

from __future__ import annotations

import logging

import gevent
import redis
from gevent.lock import BoundedSemaphore

from pycloud import fault_points
from pycloud.errors import RequestError
from pycloud.protocol.messages import RemoveResponse
from pycloud.sessions.manager import SessionManager
from pycloud.store.requests import Claim, StoredResponse
from pycloud.store.sessions import PendingRemoval

log = logging.getLogger(__name__)


class PendingRemovals:
    """The pending removals of this node."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self._lock = BoundedSemaphore()
        self._failed: set[str] = set()

    def process(self) -> None:
        """Carry out all pending removals in parallel; one that cannot be done now is retried at the next call."""
        with self._lock:
            removals: dict[str, list[PendingRemoval]] = {}
            for removal in self._manager.session_store.list_pending_removals():
                removals.setdefault(removal.session, []).append(removal)
            gevent.joinall([gevent.spawn(self._process_session, *each) for each in removals.items()])

    def _process_session(self, session_id: str, removals: list[PendingRemoval]) -> None:
        session = self._manager.sessions.get(session_id)
        try:
            if session is None:
                # The session existed when the removal was stored. Its removal since then did not answer this request.
                self._answer(removals)
            else:
                self._manager.remover.remove(session, on_stopped=lambda: self._answer(removals))
                log.info("session %s: removed, as requested while this node was offline", session_id)
        except (RequestError, redis.RedisError) as error:
            if session_id not in self._failed:
                log.warning("session %s: cannot carry out its pending removal yet, will retry: %s", session_id, error)
            self._failed.add(session_id)
        else:
            self._failed.discard(session_id)

    def _answer(self, removals: list[PendingRemoval]) -> None:
        manager = self._manager
        fault_points.fault_point("pending_removal.done")
        for removal in removals:
            claim = Claim("remove", removal.id, removal.digest)
            response = RemoveResponse(manager.identity.id, removal.session, status=True)
            manager.request_store.store_deferred_response(claim, response)
            manager.remover.recent_responses.append(StoredResponse(claim, response, manager.now()))
            manager.session_store.delete_pending_removal(removal)
