"""``pycloudctl``, the whole process, from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import cast

import redis

from bench.reading import Reading, Target
from bench.stage import Stage
from bench.turns import in_turns, seconds
from pycloud.protocol.keys import Keys
from pycloud.protocol.session import Session
from pycloud.store.sessions import SessionStore
from pycloud.transport.pipeline import RedisPipeline
from tests.support.plain_pipeline import PlainPipeline

PYCLOUDCTL = Path(__file__).resolve().parents[1] / "bin" / "pycloudctl"
LISTED = 10_000
CLOUD = "c" * 10


def status(stage: Stage) -> Iterator[Reading]:
    """Ask for one session, as a person does."""
    with stage.cloud():
        (session,) = stage.fill(1)
        ours, limit = in_turns(
            stage.rounds(25), lambda: typed(stage, "status", session), lambda: python("-c", "import redis")
        )
        beside = 'python3 -c "import redis"'
        yield Reading("pycloudctl status, whole process", ours, "s", Target(most=1.5), limit, beside)


def listing(stage: Stage) -> Iterator[Reading]:
    """List all sessions, beside a program that only reads them."""
    write_records(stage.redis.url, LISTED)
    ours, limit = in_turns(
        stage.rounds(15), lambda: typed(stage, "list"), lambda: python("-m", "bench.reader", stage.redis.url)
    )
    beside = "redis-py, one pipeline"
    yield Reading(f"pycloudctl list, {LISTED:,} sessions", ours, "s", Target(most=1.5), limit, beside)


def typed(stage: Stage, *words: str) -> float:
    """Seconds that a command takes."""
    return python(str(PYCLOUDCTL), *words, PYCLOUD_REDIS_URL=stage.redis.url)


def python(*words: str, **variables: str) -> float:
    """The same for any program."""
    environ = {**os.environ, **variables}
    command = [sys.executable, *words]
    return seconds(lambda: subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL))


def write_records(url: str, count: int) -> None:
    """Sessions as a cloud records them, without any that run."""
    now = time()
    made = [
        Session(f"{number:010x}{CLOUD}", f"request{number}", "d" * 32, "t" * 16, "game7.example.net", now - number)
        for number in range(count)
    ]
    for session in made:
        session.mark_running(40_000, session.created)
        session.answered = True
    with redis.Redis.from_url(url, protocol=2) as client:
        SessionStore(cast(RedisPipeline, PlainPipeline(client)), Keys(), CLOUD, 3600.0).write_records(made)
