"""What processes use: CPU and memory, as the kernel counts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter, sleep


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used so far, its threads included, its children not."""
    total = 0
    for task in Path("/proc", str(pid), "task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def during(pids: Mapping[str, int], work: Callable[[], object]) -> dict[str, float]:
    """Seconds of CPU that each of some processes uses for ``work``."""
    before = {name: cpu(pid) for name, pid in pids.items()}
    work()
    return {name: cpu(pid) - before[name] for name, pid in pids.items()}


def share(pid: int, seconds: float) -> float:
    """The share of one core (%) that a process uses while nobody asks for anything."""
    began, before = perf_counter(), cpu(pid)
    sleep(seconds)
    return (cpu(pid) - before) / (perf_counter() - began) * 100


def memory(pid: int) -> float:
    """MB that a process has in memory."""
    for line in Path("/proc", str(pid), "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel does not say how much memory {pid} uses")
