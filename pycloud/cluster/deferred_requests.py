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

from pycloud.protocol.decoding import Refused
from pycloud.protocol.messages import Request
from pycloud.store.request_claimer import Reception
from pycloud.store.requests import Ledger

log = logging.getLogger(__name__)

#: Seconds after which the second and the third look, and all who come later.
SECOND, THIRD, LATER = 0.2, 0.4, 2.0
#: The first looks as soon as the second: it is not sure that it is the first.
SOON = (SECOND, SECOND, THIRD)
#: Seconds between two looks while anything is kept, and the most of each queue that is asked for at once. A little more
#: than SECOND: what is kept first is due at the first look, and each look serves many.
LOOK, MOST = 0.22, 2000
#: How often a request is kept before it is left to its requester to publish it again.
ROUNDS = 5


class Kept(msgspec.Struct, frozen=True):
    """A request that waits, for the ``round``-th time. ``ours``: when nobody has claimed it by then, we are next."""

    op: str
    id: str
    payload: bytes
    round: int
    ours: bool
    #: It was asked for before: where it is answered, somebody has to publish that answer again.
    repeat: bool
    came: Reception


class Standby:
    """``on_unclaimed`` gets each request that nobody has claimed in time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.on_unclaimed: Callable[[Kept], None] = lambda _kept: None
        self._queues: dict[float, deque[tuple[float, Kept]]] = {d: deque() for d in (SECOND, THIRD, LATER)}
        self._wanted = Event()
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to look."""
        self._greenlet = gevent.spawn(self._look_for_ever)

    def stop(self) -> None:
        """Look no more."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def keep(
        self,
        place: int | None,
        item: Request | Refused,
        payload: bytes,
        came: Reception,
        round_: int = 0,
        *,
        repeat: bool = False,
        patient: bool = False,
    ) -> None:
        """Keep a request according to our place among those who care for it; None: forget it.

        Place 0 is that of a cloud which comes first and is not sure of it: it looks whether others were faster.
        ``patient``: whatever the place, look late, and then act.
        """
        if place is None or round_ >= ROUNDS:
            return
        delay = LATER if patient or place >= len(SOON) else SOON[place]
        # Who looks for the second time acts: those who come first now may have been away when it was published.
        ours = place < len(SOON) or round_ > 0 or patient
        kept = Kept(item.op, item.id, payload, round_, ours, repeat, came)
        self._queues[delay].append((monotonic() + delay, kept))
        self._wanted.set()

    def _look_for_ever(self) -> None:
        while True:
            self._wanted.wait()
            if not any(self._queues.values()):
                self._wanted.clear()
                continue
            gevent.sleep(LOOK)
            try:
                self._look(monotonic())
            except redis.RedisError as error:
                log.warning("requests that others were expected to take could not be looked at: %s", error)

    def _look(self, now: float) -> None:
        due = [kept for queue in self._queues.values() for kept in _taken(queue, now)]
        claimed = self._ledger.claimed([(kept.op, kept.id) for kept in due]) if due else []
        for kept, is_claimed in zip(due, claimed, strict=True):
            if not is_claimed or (kept.repeat and kept.ours):
                self.on_unclaimed(kept)


def _taken(queue: deque[tuple[float, Kept]], now: float) -> list[Kept]:
    """Take off the queue what is due: all that is in one queue waits equally long, so that the first is due first."""
    taken: list[Kept] = []
    while queue and queue[0][0] <= now and len(taken) < MOST:
        taken.append(queue.popleft()[1])
    return taken
