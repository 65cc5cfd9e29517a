"""Requests that others were expected to take: kept for a moment, and looked at again unless somebody has claimed them.

One greenlet looks after all of them, and asks Redis for many at once: a request that its taker has claimed costs the
others next to nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

import gevent
import msgspec
import redis
from gevent.event import Event

from pycloud.protocol.decoding import RejectedRequest
from pycloud.protocol.messages import Request
from pycloud.store.request_claimer import RequestDeadlines
from pycloud.store.requests import RequestStore

log = logging.getLogger(__name__)

#: Seconds after which the second and the third look, and all who come later.
DELAY_SECOND, DELAY_THIRD, DELAY_OTHERS = 0.2, 0.4, 2.0
#: The first looks as soon as the second: it is not sure that it is the first.
EARLY_DELAYS = (DELAY_SECOND, DELAY_SECOND, DELAY_THIRD)
#: Seconds between two looks while anything is kept, and the most of each queue that is asked for at once. A little more
#: than SECOND: what is kept first is due at the first look, and each look serves many.
POLL_INTERVAL, BATCH_SIZE = 0.22, 2000
#: How often a request is kept before it is left to its requester to publish it again.
MAX_DEFERRALS = 5


class DeferredRequest(msgspec.Struct, frozen=True):
    """A request that waits, for the ``round``-th time. ``ours``: when nobody has claimed it by then, we are next."""

    op: str
    id: str
    payload: bytes
    deferrals: int
    we_are_next: bool
    #: It was asked for before: where it is answered, somebody has to publish that answer again.
    repeat: bool
    deadlines: RequestDeadlines


class DeferredRequests:
    """``on_unclaimed`` gets each request that nobody has claimed in time."""

    def __init__(self, request_store: RequestStore) -> None:
        self._request_store = request_store
        self.on_unclaimed: Callable[[DeferredRequest], None] = lambda _kept: None
        self._queues: dict[float, deque[tuple[float, DeferredRequest]]] = {
            d: deque() for d in (DELAY_SECOND, DELAY_THIRD, DELAY_OTHERS)
        }
        self._not_empty = Event()
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to look."""
        self._greenlet = gevent.spawn(self._poll_for_ever)

    def stop(self) -> None:
        """Look no more."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def add(
        self,
        position: int | None,
        item: Request | RejectedRequest,
        payload: bytes,
        deadlines: RequestDeadlines,
        deferrals: int = 0,
        *,
        repeat: bool = False,
        delay_longest: bool = False,
    ) -> None:
        """Keep a request according to our place among those who care for it; None: forget it.

        Place 0 is that of a cloud which comes first and is not sure of it: it looks whether others were faster.
        ``patient``: whatever the place, look late, and then act.
        """
        if position is None or deferrals >= MAX_DEFERRALS:
            return
        delay = DELAY_OTHERS if delay_longest or position >= len(EARLY_DELAYS) else EARLY_DELAYS[position]
        # Who looks for the second time acts: those who come first now may have been away when it was published.
        we_are_next = position < len(EARLY_DELAYS) or deferrals > 0 or delay_longest
        deferred = DeferredRequest(item.op, item.id, payload, deferrals, we_are_next, repeat, deadlines)
        self._queues[delay].append((monotonic() + delay, deferred))
        self._not_empty.set()

    def _poll_for_ever(self) -> None:
        while True:
            self._not_empty.wait()
            if not any(self._queues.values()):
                self._not_empty.clear()
                continue
            gevent.sleep(POLL_INTERVAL)
            try:
                self._poll(monotonic())
            except redis.RedisError as error:
                log.warning("requests that others were expected to take could not be looked at: %s", error)

    def _poll(self, now: float) -> None:
        due = [kept for queue in self._queues.values() for kept in _pop_due(queue, now)]
        claimed = self._request_store.are_claimed([(kept.op, kept.id) for kept in due]) if due else []
        for deferred, is_claimed in zip(due, claimed, strict=True):
            if not is_claimed or (deferred.repeat and deferred.we_are_next):
                self.on_unclaimed(deferred)


def _pop_due(queue: deque[tuple[float, DeferredRequest]], now: float) -> list[DeferredRequest]:
    """Take off the queue what is due: all that is in one queue waits equally long, so that the first is due first."""
    due: list[DeferredRequest] = []
    while queue and queue[0][0] <= now and len(due) < BATCH_SIZE:
        due.append(queue.popleft()[1])
    return due
