"""A cloud that has nothing to do, one that starts, and one that is started again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from time import perf_counter, sleep

from bench.load import Load, about
from bench.reading import Reading, Target
from bench.stage import Stage
from bench.turns import in_turns, seconds
from bench.usage import cpu, memory, share
from tests.support.daemon import Daemon

SESSIONS = 1000
IMPORTS = "import gevent, redis"


def idle(stage: Stage) -> Iterator[Reading]:
    """Nobody asks for anything: daemon and keeper together."""
    with stage.cloud() as daemon:
        stage.clear(stage.fill(64))
        yield Reading("idle, no sessions, CPU of daemon and keeper", rest(stage, daemon), "%", CPU)
        before = footprint(daemon)
        count = stage.amount(SESSIONS)
        stage.fill(count)
        sleep(1.0)
        each = (footprint(daemon) - before) * 1024 / count
        yield Reading(f"idle, {count:,} sessions, CPU of both", rest(stage, daemon), "%", CPU)
        yield Reading("memory of both, per session", each, "KB", Target(most=16.0, absolute=True))


CPU = Target(most=0.2, absolute=True)


def rest(stage: Stage, daemon: Daemon) -> float:
    """The share of a core that both take (%)."""
    length = stage.amount(100) / 10
    before = cpu(daemon.keeper_pid)
    own = share(daemon.pid, length)
    return own + (cpu(daemon.keeper_pid) - before) / length * 100


def footprint(daemon: Daemon) -> float:
    """MB of both."""
    return memory(daemon.pid) + memory(daemon.keeper_pid)


def restart(stage: Stage) -> Iterator[Reading]:
    """kill -9, started again: until each session is answered for."""
    with stage.cloud() as daemon:
        sessions = stage.fill(stage.amount(SESSIONS))
        took = median(restarted(daemon, stage.load, sessions) for _ in range(stage.rounds(5)))
        title = f"restart with {len(sessions):,} sessions, until all answer"
        yield Reading(title, took, "s", Target(most=1.0, absolute=True))


def restarted(daemon: Daemon, load: Load, sessions: list[str]) -> float:
    """Seconds from its start until each of these was answered for."""
    daemon.kill()
    began = perf_counter()
    daemon.launch()
    load.reach("status", about(sessions[0]))
    load.run("status", map(about, sessions), 256)
    return perf_counter() - began


def start(stage: Stage) -> Iterator[Reading]:
    """From nothing to a cloud that takes requests, its keeper included."""
    sizes: list[float] = []

    def ours() -> float:
        daemon = stage.daemon()
        try:
            found = seconds(lambda: until_ready(daemon))
            sizes.append(memory(daemon.pid))
        finally:
            daemon.end()
        return found

    def imports() -> float:
        return seconds(lambda: subprocess.run([sys.executable, "-c", IMPORTS], check=True))

    took, limit = in_turns(stage.rounds(15), ours, imports)
    yield Reading("start, until ready", took, "s", Target(most=2.0), limit, f'python3 -c "{IMPORTS}"')
    yield Reading("memory of the daemon, then", median(sizes), "MB", Target(most=60.0, absolute=True))


def until_ready(daemon: Daemon) -> None:
    """Start it and wait for its word."""
    daemon.launch()
    while " ready: " not in daemon.log():
        assert daemon.running, daemon.log()
        sleep(0.002)
