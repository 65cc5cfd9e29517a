"""Deferred requests: those that another node is expected to claim, handled again where none has done so in time.

One greenlet checks all of them and queries Redis for many at once: a request that was claimed in time costs the other
nodes next to nothing.
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

from pycloud.protocol.received import ReceivedRequest
from pycloud.store.requests import RequestStore

log = logging.getLogger(__name__)

#: Seconds after which the second node, the third node and all later ones check a request.
DELAY_SECOND, DELAY_THIRD, DELAY_OTHERS = 0.2, 0.4, 2.0
#: Seconds by position. The first node defers only where it is not sure of its position, and then as long as the second.
EARLY_DELAYS = (DELAY_SECOND, DELAY_SECOND, DELAY_THIRD)
#: Seconds between two polls while any request is deferred, and the most requests of each queue in one poll. The
#: interval is a little longer than DELAY_SECOND: the first deferred request is due at the first poll, and each poll
#: serves many.
POLL_INTERVAL, BATCH_SIZE = 0.22, 2000
#: How often a request is deferred before it is dropped, and its requester has to publish it again.
MAX_DEFERRALS = 5


class DeferredRequest(msgspec.Struct, frozen=True):
    """A request that waits. ``our_turn``: this node acts on it where no node has claimed it by then."""

    received: ReceivedRequest
    our_turn: bool


class DeferredRequests:
    """Calls ``on_unclaimed`` with each request that no node has claimed in time.

    Also with a claimed one that is a repeat where this node is next: its response has to be published again.
    """

    def __init__(self, request_store: RequestStore) -> None:
        self._request_store = request_store
        self.on_unclaimed: Callable[[DeferredRequest], None] = lambda _deferred: None
        self._queues: dict[float, deque[tuple[float, DeferredRequest]]] = {
            d: deque() for d in (DELAY_SECOND, DELAY_THIRD, DELAY_OTHERS)
        }
        self._not_empty = Event()
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Start polling."""
        self._greenlet = gevent.spawn(self._poll_for_ever)

    def stop(self) -> None:
        """Stop polling."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def add(self, received: ReceivedRequest, position: int | None, *, delay_longest: bool = False) -> None:
        """Defer a request according to this node's position among those that handle it; None: drop it.

        Position 0 is that of a node which comes first but is not sure of it: it checks whether others were faster.
        ``delay_longest``: whatever the position, wait DELAY_OTHERS, and then act. A request that was deferred
        MAX_DEFERRALS times is dropped.
        """
        if position is None or received.deferrals >= MAX_DEFERRALS:
            return
        delay = DELAY_OTHERS if delay_longest or position >= len(EARLY_DELAYS) else EARLY_DELAYS[position]
        # A node acts at its second check: the nodes that come first now may have been offline when it was published.
        our_turn = position < len(EARLY_DELAYS) or received.deferrals > 0 or delay_longest
        self._queues[delay].append((monotonic() + delay, DeferredRequest(received, our_turn)))
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
                log.warning("cannot check whether other nodes have claimed their requests, will retry: %s", error)

    def _poll(self, now: float) -> None:
        batches = {delay: _pop_due(queue, now) for delay, queue in self._queues.items()}
        due = [deferred for batch in batches.values() for deferred in batch]
        requests = [(each.received.request.op, each.received.request.id) for each in due]
        try:
            claimed = self._request_store.are_claimed(requests) if due else []
        except redis.RedisError:
            for delay, batch in batches.items():  # due at the next poll
                self._queues[delay].extendleft((now, deferred) for deferred in reversed(batch))
            raise
        for deferred, is_claimed in zip(due, claimed, strict=True):
            if not is_claimed or (deferred.our_turn and deferred.received.source.repeat):
                self.on_unclaimed(deferred)


def _pop_due(queue: deque[tuple[float, DeferredRequest]], now: float) -> list[DeferredRequest]:
    """Take the due requests off a queue, at most BATCH_SIZE. All wait equally long, so the first is due first."""
    due: list[DeferredRequest] = []
    while queue and queue[0][0] <= now and len(due) < BATCH_SIZE:
        due.append(queue.popleft()[1])
    return due
