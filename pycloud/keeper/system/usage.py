"""The resource usage of one session, summed over its process tree, without a scan of all processes.

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
#: Bytes of a command line that are returned: it is for people.
MAX_COMMAND_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """The usage at one moment, ``at`` (monotonic seconds).

    ``cpu``: seconds, of these processes and of the children that they have waited for. ``memory``: resident bytes,
    summed: memory shared by several processes counts for each.
    """

    at: float
    processes: int
    cpu: float
    memory: int


def measure(roots: Iterable[int]) -> ProcessUsage:
    """Return the usage of the processes ``roots`` and all their descendants; processes that are gone do not count."""
    at, found = time.monotonic(), list(_descendants(roots))
    cpu = sum(ticks for ticks, _pages in found) / _TICK
    return ProcessUsage(at, len(found), round(cpu, 3), sum(pages for _ticks, pages in found) * _PAGE)


def parse(data: bytes) -> tuple[int, int]:
    """Parse one line of ``stat``: CPU time in ticks (with that of children waited for), and resident pages."""
    fields = data.rpartition(b")")[2].split()
    return sum(map(int, fields[11:15])), int(fields[21])


def command_of(pid: int) -> list[str]:
    """Return the command line that a process was started with or has set itself, at most MAX_COMMAND_BYTES bytes."""
    data = (procfs.read("cmdline", pid) or b"")[:MAX_COMMAND_BYTES].rstrip(b"\0")
    return [word.decode(errors="replace") for word in data.split(b"\0")] if data else []


def user_of(pid: int) -> str | None:
    """Return the user that a process runs as, by name or else by number; None where it is gone."""
    try:
        uid = Path("/proc", str(pid)).stat().st_uid
        return pwd.getpwuid(uid).pw_name
    except OSError:
        return None
    except KeyError:
        return str(uid)


def _descendants(roots: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield ``parse`` for each process. Zombies are skipped."""
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
