"""Processes between two programs: they are known by their environment, and have none just then."""

from __future__ import annotations

import os
from pathlib import Path

from pycloud.keeper import processes
from tests.support.waiting import wait_until

#: Seconds after which a process without an environment was given none.
YOUNG = 1.0
_KTHREADD = 2


def await_programs() -> None:
    """Wait until each process that there is now has loaded its program: who was just started can be known then."""
    waiting = set(_between_programs())
    wait_until(lambda: not waiting.intersection(_between_programs()), timeout=5 * YOUNG)


def _between_programs() -> list[int]:
    youngest = processes.ticks_now() - YOUNG * os.sysconf("SC_CLK_TCK")
    found = []
    for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        if processes.environ_of(pid) != b"":
            continue
        process = processes.look(pid)
        if process and not process.dead and process.parent != _KTHREADD and process.start_time > youngest:
            found.append(process.pid)
    return found
