"""Looks again whenever something happened, and now and then without, over restarts of Redis.

Events only say when to look; what is seen is read afresh. So a missed event costs no more than the time until the next
look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from pycloud.client.events import BLOCK, Follower, OnLoss
from pycloud.client.exchange import pause
from pycloud.transport.blocking import LineLost, NotReachable

#: Seconds between two looks at least, and how many times as long as the last look took: others need Redis, too.
SHORTEST, SHARE = 0.2, 4.0

T = TypeVar("T")


def watch(look: Callable[[], T], follower: Follower, every: float, until: float, on_loss: OnLoss) -> Iterator[T]:
    """What ``look`` sees, again and again; see ``Client.watch``. ``until`` on the monotonic clock."""
    losses = 0
    while True:
        try:
            began = time.monotonic()
            seen = look()
            took = time.monotonic() - began
            if losses:
                on_loss(None)
                losses = 0
            yield seen
            if time.monotonic() >= until:
                return
            _rest(follower, max(SHORTEST, SHARE * took), min(every, until - time.monotonic()))
        except (LineLost, NotReachable) as error:
            if time.monotonic() + pause(losses) >= until:
                raise
            if not losses:
                on_loss(error)
            time.sleep(pause(losses))
            losses += 1


def _rest(follower: Follower, least: float, most: float) -> None:
    """Wait until something happens, but for ``least`` seconds at least and about ``most`` at most."""
    time.sleep(least)  # what happens meanwhile is heard below, all at once
    until = time.monotonic() + most - least
    while (now := time.monotonic()) < until:
        if follower.hear(min(until, now + BLOCK)):
            return
