"""What somebody wanted removed while this cloud was away: the first thing that it does when it is back.

A wish stays in Redis until it is answered, and the session's record until then too, so that nobody who asks meanwhile
hears that there was nothing to remove.
"""

from __future__ import annotations

import logging

import gevent
import redis
from gevent.lock import BoundedSemaphore

from pycloud import fault_points
from pycloud.errors import RequestError
from pycloud.protocol.messages import RemoveResponse
from pycloud.sessions.manager import Cloud
from pycloud.store.requests import Claim, Given
from pycloud.store.sessions import Wish

log = logging.getLogger(__name__)


class Wishes:
    """The wishes for ``cloud``."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = BoundedSemaphore()
        self._failed: set[str] = set()

    def fulfil(self) -> None:
        """Carry out what is wished for, side by side; what cannot be done now is tried again the next time."""
        with self._lock:
            wishes: dict[str, list[Wish]] = {}
            for wish in self._cloud.registry.wishes():
                wishes.setdefault(wish.session, []).append(wish)
            gevent.joinall([gevent.spawn(self._fulfil, *each) for each in wishes.items()])

    def _fulfil(self, session_id: str, wishes: list[Wish]) -> None:
        session = self._cloud.sessions.get(session_id)
        try:
            if session is None:
                # It was there when the wish was kept. Whoever has removed it since has not answered this one.
                self._answer(wishes)
            else:
                self._cloud.remover.remove_unasked(session, gone=lambda: self._answer(wishes))
                log.info("session %s: removed, as was wished while this cloud was away", session_id)
        except (RequestError, redis.RedisError) as error:
            if session_id not in self._failed:
                log.warning("session %s, which is wished to be removed, cannot be yet: %s", session_id, error)
            self._failed.add(session_id)
        else:
            self._failed.discard(session_id)

    def _answer(self, wishes: list[Wish]) -> None:
        cloud = self._cloud
        fault_points.point("wish.carried_out")
        for wish in wishes:
            claim = Claim("remove", wish.id, wish.digest)
            response = RemoveResponse(cloud.identity.id, wish.session, status=True)
            cloud.ledger.grant(claim, response)
            cloud.remover.removals.append(Given(claim, response, cloud.now()))
            cloud.registry.fulfilled(wish)
