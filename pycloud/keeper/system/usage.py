"""What the processes of one session use, counted from those at the top of its tree downwards: no look at all others.

May touch: /proc (reading).
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pycloud.keeper.system import procfs
from pycloud.keeper.system.procfs import Process

_TICK, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
#: Bytes of a command line that are told: it is for people.
MAX_COMMAND_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """At one moment, ``at`` on the monotonic clock.

    ``cpu``: seconds, of these processes and of those that they have waited for. ``memory``: bytes that are resident,
    summed: what several processes share counts for each.
    """

    at: float
    processes: int
    cpu: float
    memory: int


def measure(roots: Iterable[int]) -> ProcessUsage:
    """What the processes ``tops`` and all that descend from them use now; those that are gone use nothing."""
    at, found = time.monotonic(), list(_descendants(roots))
    cpu = sum(ticks for ticks, _pages in found) / _TICK
    return ProcessUsage(at, len(found), round(cpu, 3), sum(pages for _ticks, pages in found) * _PAGE)


def parse(data: bytes) -> tuple[int, int]:
    """CPU time in ticks, that of children waited for included, and resident pages, from one line of ``stat``."""
    fields = data.rpartition(b")")[2].split()
    return sum(map(int, fields[11:15])), int(fields[21])


def command_of(pid: int) -> list[str]:
    """What a process was started as, or has made of itself; as much of it as is told."""
    data = (procfs.read("cmdline", pid) or b"")[:MAX_COMMAND_BYTES].rstrip(b"\0")
    return [word.decode(errors="replace") for word in data.split(b"\0")] if data else []


def user_of(pid: int) -> str | None:
    """Whom a process runs as, by name where it has one; None where it is gone."""
    try:
        uid = Path("/proc", str(pid)).stat().st_uid
        return pwd.getpwuid(uid).pw_name
    except OSError:
        return None
    except KeyError:
        return str(uid)


def _descendants(roots: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The figures of each, as ``parse`` gives them. Zombies use nothing, but their parents are asked for more."""
    waiting, seen = list(roots), set[int]()
    while waiting:
        pid = waiting.pop()
        if pid in seen:
            continue
        seen.add(pid)
        data = procfs.read("stat", pid)
        if data is None:
            continue
        process: Process = procfs.parse_stat(data)
        if not process.dead:
            waiting += procfs.children_of(pid)
            yield parse(data)
