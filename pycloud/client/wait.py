"""Waits for the end of a session: notices it from events, and queries the session's node for its status.

``ExitWaiter`` decides when to query and when the wait is over; ``wait`` does the I/O. Events may be missing, and Redis
may be unavailable for a while, so the status is also queried at intervals without an event.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pycloud.client.errors import NoCloud, NotEnded, Unsettled
from pycloud.client.events import BLOCK_SECONDS, EventFollower
from pycloud.client.exchange import backoff
from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import Event, StatusResponse
from pycloud.transport.blocking import ConnectionLost, NotReachable

#: Seconds between two queries without an event, and after an event or a doubtful response.
POLL_INTERVAL, RETRY_INTERVAL = 15.0, 1.0
#: Seconds that one query may take.
STATUS_TIMEOUT = 10.0
#: Events that trigger a query.
END_EVENTS = frozenset({"session.exited", "session.failed", "session.removed", "session.lost"})

StatusQuery = Callable[[float], StatusResponse]


class ExitWaiter:
    """The state of a wait. Pure: times (``now``) are arguments, in monotonic seconds."""

    def __init__(self, session: str, now: float) -> None:
        self._session, self.query_at = session, now
        #: Whether a node has confirmed the session: from then on temporary errors do not end the wait.
        self.confirmed = False
        self._event_seen = self._removal_seen = self._end_unconfirmed = False

    def on_event(self, event: Event, now: float) -> None:
        """Handle an event, which may be about this session."""
        if event.session == self._session and event.event in END_EVENTS:
            self.query_at, self._event_seen = now, True
            self._removal_seen = self._removal_seen or event.event == "session.removed"

    def on_response(self, response: StatusResponse, now: float) -> bool:
        """Whether this response ends the wait.

        A response that the session is unknown is final at once only where no node has confirmed the session before, or
        an event reported its removal; otherwise a second one is needed: a Redis that came back empty may not have its
        record yet.
        """
        if not response.status and (
            response.state or not self.confirmed or self._removal_seen or self._end_unconfirmed
        ):
            return True
        self._end_unconfirmed = not response.status
        self.query_at = now + (RETRY_INTERVAL if self._event_seen or self._end_unconfirmed else POLL_INTERVAL)
        self.confirmed, self._event_seen = True, False
        return False

    def on_query_failed(self, now: float) -> None:
        """Schedule another query after one without a response."""
        self.query_at = now + RETRY_INTERVAL

    def on_disconnected(self, now: float) -> None:
        """Schedule a query after a loss of Redis: events may have been missed."""
        self.query_at = min(self.query_at, now + RETRY_INTERVAL)


def wait(session: str, query_status: StatusQuery, follower: EventFollower, deadline: float) -> StatusResponse:
    """The status of ``session`` once it has ended; ``deadline`` in monotonic seconds.

    ``query_status`` queries its status within the given seconds. Raises NotEnded at the deadline, or RedisUnavailable
    where Redis is unavailable then; before the first response of a node, whatever ``query_status`` raises.
    """
    waiter = ExitWaiter(session, time.monotonic())
    last_error: PyCloudError | None = None
    losses = 0
    while (now := time.monotonic()) < deadline:
        try:
            if now >= waiter.query_at:
                response = query_status(min(STATUS_TIMEOUT, deadline - now))
                last_error = None
                if waiter.on_response(response, time.monotonic()):
                    return response
            for event in follower.poll(min(waiter.query_at, deadline, time.monotonic() + BLOCK_SECONDS)):
                waiter.on_event(event, time.monotonic())
            losses = 0
        except (NoCloud, Unsettled, ConnectionLost, NotReachable) as error:
            if not waiter.confirmed:
                raise
            last_error = error
            if isinstance(error, ConnectionLost | NotReachable):
                waiter.on_disconnected(time.monotonic())
                time.sleep(min(backoff(losses), max(0.0, deadline - time.monotonic())))
                losses += 1
            else:
                waiter.on_query_failed(time.monotonic())
    if isinstance(last_error, RedisUnavailable):
        raise last_error
    raise NotEnded(f"session {session} has not ended in time{f' ({last_error.message})' if last_error else ''}")
