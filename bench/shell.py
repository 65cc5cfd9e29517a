"""``pycloudctl``: the time of the whole process, from its start to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import cast

import redis

from bench.environment import Environment
from bench.measure import Reading, Target, duration, interleaved_medians
from pycloud.protocol.keys import Keys
from pycloud.protocol.session import Session
from pycloud.store.sessions import SessionStore
from pycloud.transport.pipeline import RedisPipeline
from tests.support.plain_pipeline import PlainPipeline

PYCLOUDCTL = Path(__file__).resolve().parents[1] / "bin" / "pycloudctl"
LISTED_SESSIONS = 10_000
NODE = "c" * 10


def status(environment: Environment) -> Iterator[Reading]:
    """The status of one session, beside ``import redis``."""
    with environment.node():
        (session,) = environment.create_sessions(1)
        value, limit = interleaved_medians(
            environment.scale_rounds(25),
            lambda: pycloudctl_seconds(environment, "status", session),
            lambda: python_seconds("-c", "import redis"),
        )
        beside = 'python3 -c "import redis"'
        yield Reading("pycloudctl status, whole process", value, "s", Target(most=1.5), limit, beside)


def listing(environment: Environment) -> Iterator[Reading]:
    """The list of all sessions, beside a program that only reads their records."""
    write_records(environment.redis.url, LISTED_SESSIONS)
    value, limit = interleaved_medians(
        environment.scale_rounds(15),
        lambda: pycloudctl_seconds(environment, "list"),
        lambda: python_seconds("-m", "bench.limits", "reader", environment.redis.url),
    )
    beside = "redis-py, one pipeline"
    yield Reading(f"pycloudctl list, {LISTED_SESSIONS:,} sessions", value, "s", Target(most=1.5), limit, beside)


def pycloudctl_seconds(environment: Environment, *arguments: str) -> float:
    """Seconds that ``pycloudctl`` takes with these arguments."""
    return python_seconds(str(PYCLOUDCTL), *arguments, PYCLOUD_REDIS_URL=environment.redis.url)


def python_seconds(*arguments: str, **variables: str) -> float:
    """Seconds that ``python`` takes with these arguments, and ``variables`` added to its environment."""
    environ = {**os.environ, **variables}
    command = [sys.executable, *arguments]
    return duration(lambda: subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL))


def write_records(url: str, count: int) -> None:
    """Write records of ``count`` running sessions as a node writes them; no such sessions run."""
    now = time()
    sessions = [
        Session(f"{number:010x}{NODE}", f"request{number}", "d" * 32, "t" * 16, "game7.example.net", now - number)
        for number in range(count)
    ]
    for session in sessions:
        session.mark_running(40_000, session.created)
        session.answered = True
    with redis.Redis.from_url(url, protocol=2) as client:
        SessionStore(cast(RedisPipeline, PlainPipeline(client)), Keys(), NODE, 3600.0).write_records(sessions)
