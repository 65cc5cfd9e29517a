"""Processes between two programs: they are known by their environment, and have none just then."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from pycloud.keeper.system import procfs
from tests.support.waiting import wait_until

#: Seconds after which a process without an environment was given none.
YOUNG = 1.0
_KTHREADD = 2

T = TypeVar("T")


def settled(look: Callable[[], tuple[T, Iterable[int]]]) -> T:
    """What ``look`` finds, once those have an environment that had none yet: it names the pids without one, too."""
    found, nameless = look()
    waited_for = set(filter(_was_just_made, nameless))
    if not waited_for:
        return found

    later: list[T] = []

    def again() -> bool:
        found, still = look()
        later[:] = [found]
        return not any(pid in waited_for and _was_just_made(pid) for pid in still)

    wait_until(again)
    return later[0]


def _was_just_made(pid: int) -> bool:
    process = procfs.get_process(pid)
    if process is None or process.dead or process.parent == _KTHREADD:
        return False
    return process.start_time > procfs.ticks_now() - YOUNG * os.sysconf("SC_CLK_TCK")
