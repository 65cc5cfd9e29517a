"""Container sessions beside docker-py alone and ``docker run``, on a container engine of the bench's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import docker

from bench.environment import Environment
from bench.load import create_request, session_request
from bench.measure import Reading, Target, cpu_seconds_during, duration, interleaved_medians
from tests.support.daemon import Daemon
from tests.support.engine import Engine, missing

IMAGE = "box"
#: How many containers are created at once in the concurrent rows.
CONCURRENCY = 8
#: Its program ignores SIGTERM, and a remove must not wait for the grace period.
SCRIPT = IMAGE + "\n" + json.dumps({"command": ["sleep", "1000"], "stop_signal": "SIGKILL"})


def containers(environment: Environment) -> Iterator[Reading]:
    """Creates of containers per second. Each container is removed again, which is not measured."""
    if reason := missing():
        print(f"no container rows: {reason}", file=sys.stderr)
        return
    with (
        Engine() as engine,
        environment.node(runtime="docker", docker_host=engine.host, hostname="127.0.0.1") as daemon,
    ):
        engine.image(IMAGE, ["sleep", "1000"])
        client = docker.DockerClient(base_url=engine.host, max_pool_size=CONCURRENCY)
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            for title, outstanding in (("one at a time", 1), (f"{CONCURRENCY} at once", CONCURRENCY)):
                count = environment.scale_count(10 if outstanding == 1 else 3 * CONCURRENCY)
                measurements = (
                    lambda n=count, o=outstanding: node_rate(environment, n, o),
                    lambda n=count, o=outstanding: engine_rate(engine, pool, lambda: create_by_api(client), n, o),
                    lambda n=count, o=outstanding: engine_rate(engine, pool, lambda: create_by_command(engine), n, o),
                )
                rate, api, command = interleaved_medians(environment.scale_rounds(7), *measurements)
                name = f"create (docker), {title}, rate"
                yield Reading(name, rate, "/s", Target(least=0.97), api, "docker-py alone")
                yield Reading(name, rate, "/s", Target(least=1.0), command, "docker run -d")
            yield from daemon_cpu(environment, daemon, engine)


def daemon_cpu(environment: Environment, daemon: Daemon, engine: Engine) -> Iterator[Reading]:
    """CPU (ms) of a create and remove for the daemon, beside that of dockerd, without the processes that it starts."""
    count = environment.scale_count(3 * CONCURRENCY)
    assert engine.process is not None
    pids = {"daemon": daemon.pid, "engine": engine.process.pid}
    used = cpu_seconds_during(pids, lambda: node_rate(environment, count, CONCURRENCY))
    value, limit = (used[name] / count * 1e3 for name in ("daemon", "engine"))
    yield Reading("create and remove (docker), CPU of the daemon", value, "ms", Target(), limit, "dockerd's own")


def node_rate(environment: Environment, count: int, outstanding: int) -> float:
    """Containers that a node creates per second."""
    created = environment.load.run("create", [create_request(SCRIPT)] * count, outstanding)
    removes = [session_request(response["id"]) for response in created.decoded()]
    environment.load.run("remove", removes, CONCURRENCY)
    return created.rate


def engine_rate(
    engine: Engine, pool: ThreadPoolExecutor, create: Callable[[], object], count: int, outstanding: int
) -> float:
    """Containers that ``create`` creates per second, in a loop or, where ``outstanding`` is not 1, in ``pool``."""
    if outstanding == 1:
        took = duration(lambda: [create() for _ in range(count)])
    else:
        took = duration(lambda: list(pool.map(lambda _number: create(), range(count))))
    engine.clear()
    return count / took


def create_by_api(client: docker.DockerClient) -> None:
    """Create, start and inspect one container with docker-py; its ports are known only after the inspection."""
    client.containers.run(IMAGE, ["sleep", "1000"], detach=True).reload()


def create_by_command(engine: Engine) -> None:
    """Create and start one container with the command ``docker``."""
    command = ["docker", "-H", engine.host, "run", "-d", IMAGE, "sleep", "1000"]
    subprocess.run(command, check=True, capture_output=True)
