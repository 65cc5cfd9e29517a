"""One real cloud and one real Redis in a simulated crowd: what it costs both, and how long the cloud's work takes.

What one beat, one delivery and one create cost follows from that, and from these how far one Redis carries
(docs/scaling.md).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from time import perf_counter, sleep

from bench.chorus import rank_of
from bench.line import Line
from bench.load import Load, about, create
from bench.reading import Reading, Target
from bench.stage import Stage
from bench.turns import seconds
from bench.usage import cpu
from pycloud.cluster.placement import Peer, candidates
from pycloud.protocol.messages import CreateRequest
from tests.support.daemon import Daemon

#: How much of a core Redis may take before what waits for it does so noticeably.
ENOUGH = 0.7


@dataclass(frozen=True, slots=True)
class Crowd:
    """``clouds`` whose hearts beat each second, ``ears`` of them listening, and ``creates`` each second."""

    clouds: int
    ears: int
    creates: int

    def __str__(self) -> str:
        return f"crowd of {self.clouds:,} clouds, {self.ears:,} listen, {self.creates} creates/s"


@dataclass(frozen=True, slots=True)
class Used:
    """Shares of a core that Redis and the daemon used; how often a second was published, and created."""

    redis: float
    daemon: float
    published: float
    created: float


CROWDS = (Crowd(10, 10, 100), Crowd(100, 100, 100), Crowd(1000, 0, 100))
BEATS, DELIVERIES, CREATES = Crowd(1000, 0, 0), Crowd(200, 200, 0), Crowd(1, 0, 100)


def crowd(stage: Stage) -> Iterator[Reading]:
    """Nothing is promised of these."""
    with stage.cloud() as daemon:
        (session,) = stage.fill(1)
        for each in CROWDS:
            with singing(stage.redis.port, each):
                found = used(stage, daemon)
                yield Reading(f"{each}: CPU of Redis", found.redis * 100, "%", Target())
                yield Reading(f"{each}: CPU of the daemon", found.daemon * 100, "%", Target())
                yield Reading(f"{each}: status, p50", at_leisure(stage.load, about(session)), "ms", Target())
                yield Reading(f"{each}: create, p50", own_creates(stage, daemon), "ms", Target())
        yield from costs(stage, daemon)


def costs(stage: Stage, daemon: Daemon) -> Iterator[Reading]:
    """What each thing costs, and what follows. What came is counted: a busy machine sings more slowly."""
    idle, found = used(stage, daemon), {}
    for each in (BEATS, DELIVERIES, CREATES):
        with singing(stage.redis.port, each):
            found[each] = used(stage, daemon)
    beat = (found[BEATS].redis - idle.redis) / found[BEATS].published
    heard = found[DELIVERIES].published * DELIVERIES.ears
    delivery = (found[DELIVERIES].redis - idle.redis - beat * found[DELIVERIES].published) / heard
    made = (found[CREATES].redis - idle.redis) / (found[CREATES].created)
    rank = (found[BEATS].daemon - idle.daemon) / found[BEATS].published
    yield Reading("Redis, for a heartbeat", beat * 1e6, "µs", Target())
    yield Reading("Redis, for each cloud that hears a message", delivery * 1e6, "µs", Target())
    yield Reading("Redis, for a create", made * 1e6, "µs", Target())
    yield Reading("a daemon, for a rank that it hears", rank * 1e6, "µs", Target())
    yield Reading("a daemon, for each cloud that may take a create", choosing(), "µs", Target())
    for creates in (0, 100, 1000):
        title = f"clouds that one Redis carries, with {creates} creates/s"
        yield Reading(title, carried(beat, delivery, made, creates), "clouds", Target())


def carried(beat: float, delivery: float, made: float, creates: int) -> float:
    """How many clouds n fill ENOUGH of a core: n beats a second, each heard by n, and creates that are heard by n.

    beat n + delivery n (n + creates) + made creates = ENOUGH
    """
    half = (beat + delivery * creates) / (2 * delivery)
    rest = (ENOUGH - made * creates) / delivery
    return max(0.0, sqrt(half * half + rest) - half) if rest > 0 else 0.0


def choosing(clouds: int = 1000) -> float:
    """µs per cloud that it takes to say who takes a create, the best of many tries."""
    peers = {rank.id: Peer(rank, 0.0) for rank in (rank_of(f"{number:010x}") for number in range(clouds))}
    request = CreateRequest("r", "exec sleep 3600", runtimes=("script",))
    return min(seconds(lambda: candidates(peers, request, 0.5)) for _ in range(100)) / clouds * 1e6


@contextmanager
def singing(port: int, crowd: Crowd) -> Iterator[None]:
    """The crowd, in a process of its own, once all have been heard."""
    words = map(str, (port, crowd.clouds, crowd.ears, crowd.creates))
    process = subprocess.Popen([sys.executable, "-m", "bench.chorus", *words], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        sleep(2.0)
        yield
    finally:
        process.kill()
        process.communicate()


def used(stage: Stage, daemon: Daemon) -> Used:
    """What happens while the cloud has nothing to do itself."""
    pids = stage.redis.pid, daemon.pid
    with Line(stage.redis.port) as line:
        calls, began, before = counted(line), perf_counter(), [cpu(pid) for pid in pids]
        sleep(stage.amount(60) / 10)
        took = perf_counter() - began
        redis, own = ((cpu(pid) - was) / took for pid, was in zip(pids, before, strict=True))
        published, created = ((now - was) / took for now, was in zip(counted(line), calls, strict=True))
    return Used(redis, own, published, created)


def counted(line: Line) -> tuple[int, int]:
    """How often was published and created so far: an answered create is told in the stream of events, once."""
    text = line.ask(("INFO", "commandstats"))[0].decode()
    found = [re.search(rf"cmdstat_{name}:calls=(\d+)", text) for name in ("publish", "xadd")]
    published, created = (int(each[1]) if each else 0 for each in found)
    return published, created


def own_creates(stage: Stage, daemon: Daemon) -> float:
    """The median latency (ms) of creates that only this cloud can take."""
    own = create() + b',"cloud":"%b"' % daemon.cloud.encode()
    made = stage.load.run("create", [own] * stage.amount(100), 1)
    stage.clear([answer["id"] for answer in made.decoded()])
    return made.p50


def at_leisure(load: Load, request: bytes) -> float:
    """The median latency (ms) of a status that is asked for with pauses."""
    latencies = []
    for _ in range(200):
        latencies.append(load.run("status", [request], 1).latencies[0])
        sleep(0.002)
    return sorted(latencies)[len(latencies) // 2] * 1e3
