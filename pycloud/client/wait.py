"""Waits for a session's end: hears of it from the events, and asks its cloud what has become of it.

``Vigil`` decides when to ask and when it is over; ``wait`` does the I/O. Events may be missing, and Redis may be away
for a while: so its cloud is asked now and then without any, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pycloud.client.errors import NoCloud, NotEnded, Unsettled
from pycloud.client.events import BLOCK, Follower
from pycloud.client.exchange import pause
from pycloud.errors import PyCloudError, RedisUnavailable
from pycloud.protocol.messages import Event, StatusResponse
from pycloud.transport.blocking import LineLost, NotReachable

#: Seconds between two questions where no event was heard, and where one was, or an answer is in doubt.
ROUND, AGAIN = 15.0, 1.0
#: Seconds that one question may take.
PATIENCE = 10.0
#: Events that are worth a question.
ENDINGS = frozenset({"session.exited", "session.failed", "session.removed", "session.lost"})

Ask = Callable[[float], StatusResponse]


class Vigil:
    """What is known while a session is waited for. Pure: times (``now``) are handed in, of the monotonic clock."""

    def __init__(self, session: str, now: float) -> None:
        self._session, self.ask_at = session, now
        #: Whether it was heard of by a cloud: from then on nothing that is wrong for a while ends the wait.
        self.begun = False
        self._news = self._removed = self._doubted = False

    def heard(self, event: Event, now: float) -> None:
        """Something happened, maybe to this session."""
        if event.session == self._session and event.event in ENDINGS:
            self.ask_at, self._news = now, True
            self._removed = self._removed or event.event == "session.removed"

    def told(self, answer: StatusResponse, now: float) -> bool:
        """Whether this answer is the end of it.

        That nobody knows it (any more) is believed at once only where nobody did before, or its removal was heard of:
        a Redis that came back empty may not have been told of it yet.
        """
        if not answer.status and (answer.state or not self.begun or self._removed or self._doubted):
            return True
        self._doubted = not answer.status
        self.ask_at = now + (AGAIN if self._news or self._doubted else ROUND)
        self.begun, self._news = True, False
        return False

    def failed(self, now: float) -> None:
        """No answer could be had."""
        self.ask_at = now + AGAIN

    def disturbed(self, now: float) -> None:
        """Redis was lost: events may have been missed."""
        self.ask_at = min(self.ask_at, now + AGAIN)


def wait(session: str, ask: Ask, follower: Follower, until: float) -> StatusResponse:
    """What has become of ``session``, once it lives no more; ``until`` on the monotonic clock.

    ``ask`` asks for its status, within so many seconds. Raises NotEnded when the time is up, or RedisUnavailable where
    Redis is away then; before a cloud has answered once, whatever ``ask`` raises.
    """
    vigil = Vigil(session, time.monotonic())
    trouble: PyCloudError | None = None
    losses = 0
    while (now := time.monotonic()) < until:
        try:
            if now >= vigil.ask_at:
                answer = ask(min(PATIENCE, until - now))
                trouble = None
                if vigil.told(answer, time.monotonic()):
                    return answer
            for event in follower.hear(min(vigil.ask_at, until, time.monotonic() + BLOCK)):
                vigil.heard(event, time.monotonic())
            losses = 0
        except (NoCloud, Unsettled, LineLost, NotReachable) as error:
            if not vigil.begun:
                raise
            trouble = error
            if isinstance(error, LineLost | NotReachable):
                vigil.disturbed(time.monotonic())
                time.sleep(min(pause(losses), max(0.0, until - time.monotonic())))
                losses += 1
            else:
                vigil.failed(time.monotonic())
    if isinstance(trouble, RedisUnavailable):
        raise trouble
    raise NotEnded(f"session {session} has not ended in time{f' ({trouble.message})' if trouble else ''}")
