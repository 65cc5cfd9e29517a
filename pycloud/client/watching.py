"""Looks again whenever something happened, and now and then without, over restarts of Redis.

Events only say when to look; what is seen is read afresh. So a missed event costs no more than the time until the next
look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from pycloud.client.events import BLOCK_SECONDS, EventFollower, OnRedisLoss
from pycloud.client.exchange import backoff
from pycloud.transport.blocking import ConnectionLost, NotReachable

#: Seconds between two looks at least, and how many times as long as the last look took: others need Redis, too.
MIN_WATCH_INTERVAL, WATCH_INTERVAL_FACTOR = 0.2, 4.0

T = TypeVar("T")


def watch(
    look: Callable[[], T], follower: EventFollower, every: float, deadline: float, on_loss: OnRedisLoss
) -> Iterator[T]:
    """What ``look`` sees, again and again; see ``Client.watch``. ``until`` on the monotonic clock."""
    losses = 0
    while True:
        try:
            began = time.monotonic()
            value = look()
            duration = time.monotonic() - began
            if losses:
                on_loss(None)
                losses = 0
            yield value
            if time.monotonic() >= deadline:
                return
            _wait_for_event(
                follower,
                max(MIN_WATCH_INTERVAL, WATCH_INTERVAL_FACTOR * duration),
                min(every, deadline - time.monotonic()),
            )
        except (ConnectionLost, NotReachable) as error:
            if time.monotonic() + backoff(losses) >= deadline:
                raise
            if not losses:
                on_loss(error)
            time.sleep(backoff(losses))
            losses += 1


def _wait_for_event(follower: EventFollower, min_wait: float, max_wait: float) -> None:
    """Wait until something happens, but for ``least`` seconds at least and about ``most`` at most."""
    time.sleep(min_wait)  # what happens meanwhile is heard below, all at once
    deadline = time.monotonic() + max_wait - min_wait
    while (now := time.monotonic()) < deadline:
        if follower.poll(min(deadline, now + BLOCK_SECONDS)):
            return
