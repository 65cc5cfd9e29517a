"""One engine for the whole run, and engines for tests that kill theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import requirements
from tests.support.daemon import Daemon
from tests.support.docker_runtime import Host
from tests.support.engine import Engine, missing
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester

#: Ends by itself when it is told to, with exit code 7.
POLITE = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"


def filled(engine: Engine) -> Engine:
    """With the images that tests use."""
    engine.image("web", ["httpd", "-f", "-p", "80", "-h", "/www"], files={"www/index.html": b"hello"})
    engine.image("box", ["sleep", "1000"])
    engine.image("polite", ["sh", "-c", POLITE])
    return engine


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[Engine]:
    if reason := missing():
        requirements.missing(reason)
    with Engine() as engine:
        yield filled(engine)


@pytest.fixture
def engine(shared_engine: Engine) -> Iterator[Engine]:
    """The engine that tests share, without containers."""
    yield shared_engine
    shared_engine.clear()


@pytest.fixture(scope="session")
def mortal_engine(shared_engine: Engine) -> Iterator[Engine]:
    """A second engine."""
    with Engine() as engine:
        yield filled(engine)


@pytest.fixture
def own_engine(mortal_engine: Engine) -> Iterator[Engine]:
    """An engine that the test may kill, freeze and restart; it runs at the start of each test, without containers."""
    if not mortal_engine.running:
        mortal_engine.start()
    elif mortal_engine.live_restore:
        mortal_engine.restart()
    yield mortal_engine
    if mortal_engine.running:
        mortal_engine.thaw()
        mortal_engine.clear()


@pytest.fixture
def host_on(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Makes runtimes that are killed with the test."""
    with ExitStack() as stack:
        made: list[Host] = []

        def make(engine: Engine, **settings: object) -> Host:
            made.append(stack.enter_context(Host(tmp_path / f"host{len(made)}", engine.host, **settings)))  # type: ignore[arg-type]
            return made[-1]

        yield make


@pytest.fixture
def requester(own_redis: RedisServer) -> Iterator[Requester]:
    with Requester(own_redis.url) as made:
        yield made


@pytest.fixture
def docker_on(own_redis: RedisServer, daemon_on: Callable[..., Daemon]) -> Callable[..., Daemon]:
    """Makes clouds that run containers on an engine."""

    def make(engine: Engine, runtime: str = "docker", **options: object) -> Daemon:
        return daemon_on(own_redis, runtime=runtime, docker_host=engine.host, hostname="127.0.0.1", **options)

    return make
