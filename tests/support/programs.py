"""Processes between two programs: they are known by their environment, and have none just then."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from pycloud.keeper import processes

#: Seconds after which a process without an environment was given none.
YOUNG = 1.0
PAUSE = 0.005
_KTHREADD = 2

T = TypeVar("T")


def settled(look: Callable[[], tuple[T, Iterable[int]]]) -> T:
    """What ``look`` finds, once none of the processes without an environment that it names was just made."""
    while True:
        found, nameless = look()
        if not any(map(_was_just_made, nameless)):
            return found
        time.sleep(PAUSE)


def _was_just_made(pid: int) -> bool:
    process = processes.look(pid)
    if process is None or process.dead or process.parent == _KTHREADD:
        return False
    return process.start_time > processes.ticks_now() - YOUNG * os.sysconf("SC_CLK_TCK")
