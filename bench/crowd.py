"""One real cloud and one real Redis in a simulated crowd: what it costs both, and how long the cloud's work takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, sleep

from bench.load import Load, about, create
from bench.reading import Reading, Target
from bench.stage import Stage
from bench.usage import cpu
from tests.support.daemon import Daemon

#: How many clouds there are, and how many of them also listen: that each hears all others is what grows fastest.
CROWDS = ((0, 0), (10, 10), (100, 100), (200, 200), (1000, 0))
CREATES = 100


def crowd(stage: Stage) -> Iterator[Reading]:
    """Nothing is promised of these: docs/scaling.md says what follows from them."""
    with stage.cloud() as daemon:
        (session,) = stage.fill(1)
        for clouds, ears in CROWDS:
            with singing(stage.redis.port, clouds, ears):
                sleep(2.0)  # all have been heard
                yield from figures(stage, daemon, session, f"crowd of {clouds:,}, {ears:,} listening")


@contextmanager
def singing(port: int, clouds: int, ears: int) -> Iterator[None]:
    """The crowd, in a process of its own."""
    if not clouds:
        yield
        return
    command = [sys.executable, "-m", "bench.chorus", *map(str, (port, clouds, ears, CREATES))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def figures(stage: Stage, daemon: Daemon, session: str, title: str) -> Iterator[Reading]:
    """CPU while the cloud itself has nothing to do, then how long its own work takes."""
    length = stage.amount(100) / 10
    processes = {"Redis": stage.redis.pid, "the daemon": daemon.pid}
    before, began = {name: cpu(pid) for name, pid in processes.items()}, perf_counter()
    sleep(length)
    took = perf_counter() - began
    for name, pid in processes.items():
        yield Reading(f"{title}: CPU of {name}", (cpu(pid) - before[name]) / took * 100, "%", Target())
    yield Reading(f"{title}: status, p50", at_leisure(stage.load, "status", [about(session)] * 200), "ms", Target())
    own = create() + b',"cloud":"%b"' % daemon.cloud.encode()
    made = stage.load.run("create", [own] * stage.amount(100), 1)
    stage.clear([answer["id"] for answer in made.decoded()])
    yield Reading(f"{title}: create, p50", made.p50, "ms", Target())


def at_leisure(load: Load, op: str, requests: list[bytes]) -> float:
    """The median latency (ms) of requests with pauses between them."""
    latencies = []
    for request in requests:
        latencies.append(load.run(op, [request], 1).latencies[0])
        sleep(0.002)
    return sorted(latencies)[len(latencies) // 2] * 1e3
