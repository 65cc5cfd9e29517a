"""Waiting for conditions, so that no test sleeps for a guess.

Knows nothing of PyCloud: it polls what it is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout: float = 10.0, message: str | Callable[[], str] = "") -> T:
    """Poll ``predicate`` until it returns something true, and return that.

    ``timeout`` is in seconds. ``message`` (or what it returns, when it is callable: evaluated only on failure) goes
    into the AssertionError that is raised when time is up.
    """
    deadline = time.monotonic() + timeout
    pause = 0.002
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() > deadline:
            text = message() if callable(message) else message
            raise AssertionError(f"not true within {timeout:g} s: {text or predicate!r} (last result: {result!r})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
