"""Timers aligned to multiples of their interval, so that periodic tasks wake at the same moments.

An idle node wakes once for all of them and queries Redis in one batch. Needs a patched process (see app.py).
"""

from __future__ import annotations

from time import monotonic

import gevent

#: Seconds by which a timer may fire early: such a wake-up already counts as the tick.
TIMER_SLACK = 0.02


def seconds_to_next_tick(interval: float, now: float) -> float:
    """Seconds until the next multiple of ``interval`` (s) after ``now`` (s on any clock)."""
    left = interval - now % interval
    return left if left > TIMER_SLACK else left + interval


def sleep_to_next_tick(interval: float) -> None:
    """Sleep until the monotonic clock's next multiple of ``interval`` (s); other greenlets run meanwhile."""
    # Otherwise the timer would count from when the process woke up, and fire before the others.
    gevent.get_hub().loop.update_now()
    gevent.sleep(seconds_to_next_tick(interval, monotonic()))
