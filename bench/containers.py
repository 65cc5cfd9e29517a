"""Container sessions beside docker-py alone and ``docker run``, on an engine of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import docker

from bench.load import about, create
from bench.reading import Reading, Target
from bench.stage import Stage
from bench.turns import in_turns, seconds
from bench.usage import during
from tests.support.daemon import Daemon
from tests.support.engine import Engine, missing

IMAGE = "box"
SIDE_BY_SIDE = 8
#: What runs in it does not listen to SIGTERM, and shall be removed without waiting for that.
SCRIPT = IMAGE + "\n" + json.dumps({"command": ["sleep", "1000"], "stop_signal": "SIGKILL"})


def containers(stage: Stage) -> Iterator[Reading]:
    """Start containers; each is removed again, which is not measured."""
    if reason := missing():
        print(f"no container rows: {reason}", file=sys.stderr)
        return
    with Engine() as engine, stage.cloud(runtime="docker", docker_host=engine.host, hostname="127.0.0.1") as daemon:
        engine.image(IMAGE, ["sleep", "1000"])
        client = docker.DockerClient(base_url=engine.host, max_pool_size=SIDE_BY_SIDE)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for title, outstanding in (("one at a time", 1), (f"{SIDE_BY_SIDE} at once", SIDE_BY_SIDE)):
                count = stage.amount(10 if outstanding == 1 else 3 * SIDE_BY_SIDE)
                measures = (
                    lambda n=count, o=outstanding: ours(stage, n, o),
                    lambda n=count, o=outstanding: alone(engine, pool, lambda: by_api(client), n, o),
                    lambda n=count, o=outstanding: alone(engine, pool, lambda: by_command(engine), n, o),
                )
                rate, api, command = in_turns(stage.rounds(7), *measures)
                name = f"create (docker), {title}, rate"
                yield Reading(name, rate, "/s", Target(least=0.97), api, "docker-py alone")
                yield Reading(name, rate, "/s", Target(least=1.0), command, "docker run -d")
            yield from share(stage, daemon, engine)


def share(stage: Stage, daemon: Daemon, engine: Engine) -> Iterator[Reading]:
    """What a create costs the daemon, beside what it costs the engine itself: what that starts is not counted."""
    count = stage.amount(3 * SIDE_BY_SIDE)
    assert engine.process is not None
    used = during({"daemon": daemon.pid, "engine": engine.process.pid}, lambda: ours(stage, count, SIDE_BY_SIDE))
    spent, limit = (used[name] / count * 1e3 for name in ("daemon", "engine"))
    yield Reading("create and remove (docker), CPU of the daemon", spent, "ms", Target(), limit, "dockerd's own")


def ours(stage: Stage, count: int, outstanding: int) -> float:
    """Containers per second, by PyCloud."""
    made = stage.load.run("create", [create(SCRIPT)] * count, outstanding)
    gone = [about(answer["id"]) for answer in made.decoded()]
    stage.load.run("remove", gone, SIDE_BY_SIDE)
    return made.rate


def alone(engine: Engine, pool: ThreadPoolExecutor, make: Callable[[], object], count: int, outstanding: int) -> float:
    """Containers per second, made otherwise."""
    if outstanding == 1:
        took = seconds(lambda: [make() for _ in range(count)])
    else:
        took = seconds(lambda: list(pool.map(lambda _number: make(), range(count))))
    engine.clear()
    return count / took


def by_api(client: docker.DockerClient) -> None:
    """One container by docker-py: made, started, and looked at, as anybody must who wants to know its ports."""
    client.containers.run(IMAGE, ["sleep", "1000"], detach=True).reload()


def by_command(engine: Engine) -> None:
    """One container by the command line."""
    command = ["docker", "-H", engine.host, "run", "-d", IMAGE, "sleep", "1000"]
    subprocess.run(command, check=True, capture_output=True)
