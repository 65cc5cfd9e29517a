"""When a thing that is done every so often is done next: so that all such things fall together.

An idle cloud wakes once for all of them, and asks Redis at once. Needs a patched process (see app.py).
"""

from __future__ import annotations

from time import monotonic

import gevent

#: Seconds by which a timer may ring too early: that is no beat of its own.
TIMER_SLACK = 0.02


def seconds_to_next_tick(interval: float, now: float) -> float:
    """Seconds until the next multiple of ``interval`` on the clock that says ``now``."""
    left = interval - now % interval
    return left if left > TIMER_SLACK else left + interval


def sleep_to_next_tick(interval: float) -> None:
    """Let others have their turn until then."""
    gevent.get_hub().loop.update_now()  # or a timer would count from when the process woke, and ring before the others
    gevent.sleep(seconds_to_next_tick(interval, monotonic()))
