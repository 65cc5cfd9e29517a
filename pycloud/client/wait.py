"""Waits for a session's end: hears of it from the events, and asks its cloud what has become of it.

``Vigil`` decides when to ask and when it is over; ``wait`` does the I/O. Events may be missing, and Redis may be away
for a while: so its cloud is asked now and then without any, too.
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

#: Seconds between two questions where no event was heard, and where one was, or an answer is in doubt.
POLL_INTERVAL, RETRY_INTERVAL = 15.0, 1.0
#: Seconds that one question may take.
STATUS_TIMEOUT = 10.0
#: Events that are worth a question.
END_EVENTS = frozenset({"session.exited", "session.failed", "session.removed", "session.lost"})

StatusQuery = Callable[[float], StatusResponse]


class ExitWaiter:
    """What is known while a session is waited for. Pure: times (``now``) are handed in, of the monotonic clock."""

    def __init__(self, session: str, now: float) -> None:
        self._session, self.query_at = session, now
        #: Whether it was heard of by a cloud: from then on nothing that is wrong for a while ends the wait.
        self.confirmed = False
        self._event_seen = self._removal_seen = self._end_unconfirmed = False

    def on_event(self, event: Event, now: float) -> None:
        """Something happened, maybe to this session."""
        if event.session == self._session and event.event in END_EVENTS:
            self.query_at, self._event_seen = now, True
            self._removal_seen = self._removal_seen or event.event == "session.removed"

    def on_response(self, response: StatusResponse, now: float) -> bool:
        """Whether this answer is the end of it.

        That nobody knows it (any more) is believed at once only where nobody did before, or its removal was heard of:
        a Redis that came back empty may not have been told of it yet.
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
        """No answer could be had."""
        self.query_at = now + RETRY_INTERVAL

    def on_disconnected(self, now: float) -> None:
        """Redis was lost: events may have been missed."""
        self.query_at = min(self.query_at, now + RETRY_INTERVAL)


def wait(session: str, query_status: StatusQuery, follower: EventFollower, deadline: float) -> StatusResponse:
    """What has become of ``session``, once it lives no more; ``until`` on the monotonic clock.

    ``ask`` asks for its status, within so many seconds. Raises NotEnded when the time is up, or RedisUnavailable where
    Redis is away then; before a cloud has answered once, whatever ``ask`` raises.
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
