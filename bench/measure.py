"""The readings of the table, and functions that measure durations, CPU time and memory. Imports nothing of bench."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

Measurement = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Target:
    """Bounds ``most`` and ``least`` of value / limit, or, where ``absolute``, of the value in its own unit.

    Without bounds the reading has no target: it is printed for information.
    """

    most: float | None = None
    least: float | None = None
    absolute: bool = False

    def is_met_by(self, number: float) -> bool:
        """Whether ``number`` is within the bounds."""
        return (self.most is None or number <= self.most) and (self.least is None or number >= self.least)


@dataclass(frozen=True, slots=True)
class Reading:
    """One row: ``value`` and ``limit``, both in ``unit``. ``beside`` names the program that set the limit."""

    title: str
    value: float
    unit: str
    target: Target
    limit: float | None = None
    beside: str = ""

    @property
    def ratio(self) -> float | None:
        """``value`` / ``limit``; None where there is no limit."""
        return None if self.limit is None else self.value / self.limit

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        number = self.value if self.target.absolute or self.ratio is None else self.ratio
        return self.target.is_met_by(number)

    def target_text(self) -> str:
        """The target as a phrase; empty where there is none."""
        if self.target == Target():
            return ""
        bound = "at most" if self.target.most is not None else "at least"
        number = self.target.most if self.target.most is not None else self.target.least
        return f"{bound} {number:.3g} {self.unit if self.target.absolute else 'x'}"

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, with ``ratio`` and ``met``, for JSON."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


def interleaved_medians(rounds: int, *measurements: Measurement) -> list[float]:
    """The median of each measurement over ``rounds`` rounds, in the order given.

    Each round runs every measurement once, so that other load of the machine affects all of them alike; every other
    round runs them in reverse order.
    """
    found: list[list[float]] = [[] for _ in measurements]
    for number in range(rounds):
        order = list(enumerate(measurements))
        for index, measurement in order if number % 2 == 0 else reversed(order):
            found[index].append(measurement())
    return [median(each) for each in found]


def duration(work: Callable[[], object]) -> float:
    """Seconds that one call of ``work`` takes."""
    began = perf_counter()
    work()
    return perf_counter() - began


def median_ms(work: Callable[[], object], count: int) -> float:
    """The median duration of ``count`` calls of ``work``, in ms."""
    return median(duration(work) for _ in range(count)) * 1e3


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that a process has used since its start: all of its threads, without its children."""
    total = 0
    for task in Path("/proc", str(pid), "task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def cpu_seconds_during(pids: Mapping[str, int], work: Callable[[], object]) -> dict[str, float]:
    """Seconds of CPU that each of the processes uses while ``work`` runs, by the names in ``pids``."""
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    work()
    return {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}


def cpu_percent(pid: int, seconds: float) -> float:
    """The share of one core (%) that a process uses during the next ``seconds``; this function sleeps meanwhile."""
    began, before = perf_counter(), cpu_seconds(pid)
    sleep(seconds)
    return (cpu_seconds(pid) - before) / (perf_counter() - began) * 100


def memory_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    for line in Path("/proc", str(pid), "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel does not say how much memory {pid} uses")


def describe_machine(now: datetime, disk: str) -> str:
    """One line with the date and the machine. ``disk`` names the file system of the measured files."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    system = f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    return f"{now:%Y-%m-%d}, {os.cpu_count()} cores ({model}), {system}, files on {disk}"
