"""Status, create and remove of script sessions on one node, beside a responder and beside bare processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from bench.environment import BareLoop, Environment
from bench.load import LoadGenerator, create_request, session_request
from bench.measure import Reading, Target, cpu_seconds_during, duration, interleaved_medians, median_ms
from tests.support.daemon import Daemon

# Names of limits and of processes, as the table prints them.
RESPONDER = "the smallest redis-py responder"
POPEN = "Popen with the same files"
SMALLEST_NODE = "the smallest cloud"
KILLPG = "killpg, wait, rmtree"
KEEPER = "the keeper"
STATUS_OUTSTANDING, OUTSTANDING = 256, 64


def status_p50(load: LoadGenerator, session: str, count: int) -> float:
    """The median latency (ms) of statuses, one at a time."""
    return load.run("status", [session_request(session)] * count, 1).p50


def status_rate(load: LoadGenerator, session: str, count: int) -> float:
    """Statuses per second, STATUS_OUTSTANDING at a time."""
    return load.run("status", [session_request(session)] * count, STATUS_OUTSTANDING).rate


def create_p50(load: LoadGenerator, count: int) -> float:
    """The median latency (ms) of creates, one at a time. The sessions are removed afterwards."""
    created = load.run("create", [create_request()] * count, 1)
    load.run("remove", [session_request(response["id"]) for response in created.decoded()], OUTSTANDING)
    return created.p50


def create_remove_rates(load: LoadGenerator, count: int) -> tuple[float, float]:
    """Creates and removes per second, OUTSTANDING at a time."""
    created = load.run("create", [create_request()] * count, OUTSTANDING)
    removed = load.run("remove", [session_request(response["id"]) for response in created.decoded()], OUTSTANDING)
    return created.rate, removed.rate


def bare_rates(loop: BareLoop, count: int) -> tuple[float, float]:
    """Starts and ends of bare processes per second, one after the other."""
    start_rate = count / duration(lambda: loop.start(count))
    return start_rate, count / duration(loop.terminate)


def status(environment: Environment) -> Iterator[Reading]:
    """Statuses of one session, beside the smallest responder."""
    with environment.node(), environment.responder() as responder:
        (session,) = environment.create_sessions(1)
        status_p50(environment.load, session, 200)  # warm-up: each process has loaded all of its code
        for title, outstanding, count, target in (
            ("status, one at a time, p50", 1, 500, Target(most=1.2)),
            ("status, 256 outstanding, rate", STATUS_OUTSTANDING, 10_000, Target(least=3.0)),
        ):
            measurement, unit = (status_p50, "ms") if outstanding == 1 else (status_rate, "/s")
            number = environment.scale_count(count)
            value, limit = interleaved_medians(
                environment.scale_rounds(15),
                lambda m=measurement, n=number: m(environment.load, session, n),  # type: ignore[misc]
                lambda m=measurement, n=number: m(responder, session, n),  # type: ignore[misc]
            )
            yield Reading(title, value, unit, target, limit, RESPONDER)


def create_one(environment: Environment) -> Iterator[Reading]:
    """Creates one at a time, beside bare processes and the smallest node."""
    with environment.node(), environment.bare_loop() as loop, environment.smallest_node() as smallest_node:
        create_p50(environment.load, 10)
        count = environment.scale_count(100)

        def bare_p50() -> float:
            found = median_ms(loop.start, count)
            loop.terminate()
            return found

        value, limit, smallest = interleaved_medians(
            environment.scale_rounds(15),
            lambda: create_p50(environment.load, count),
            bare_p50,
            lambda: smallest_node.create(count, 1).p50,
        )
        title = "create (script), one at a time, p50"
        yield Reading(title, value, "ms", Target(most=2.0), limit, POPEN)
        yield Reading(title, value, "ms", Target(), smallest, SMALLEST_NODE)


def create_many(environment: Environment) -> Iterator[Reading]:
    """Creates and removes, OUTSTANDING at a time, beside bare processes and the smallest node."""
    with environment.node() as daemon, environment.bare_loop() as loop, environment.smallest_node() as smallest_node:
        create_remove_rates(environment.load, 64)
        count, remove_rates, end_rates = environment.scale_count(500), list[float](), list[float]()

        def create_rate() -> float:
            created, removed = create_remove_rates(environment.load, count)
            remove_rates.append(removed)
            return created

        def start_rate() -> float:
            started, ended = bare_rates(loop, count)
            end_rates.append(ended)
            return started

        created, started, smallest = interleaved_medians(
            environment.scale_rounds(11),
            create_rate,
            start_rate,
            lambda: smallest_node.create(count, OUTSTANDING).rate,
        )
        title = "create (script), 64 outstanding, rate"
        yield Reading(title, created, "/s", Target(least=0.7), started, POPEN)
        yield Reading(title, created, "/s", Target(), smallest, SMALLEST_NODE)
        removed, ended = sorted(remove_rates)[len(remove_rates) // 2], sorted(end_rates)[len(end_rates) // 2]
        yield Reading("remove (script), 64 outstanding, rate", removed, "/s", Target(least=0.6), ended, KILLPG)
        yield from cpu_per_request(environment, daemon, loop, count)


def cpu_per_request(environment: Environment, daemon: Daemon, loop: BareLoop, count: int) -> Iterator[Reading]:
    """CPU (µs) of each process for a create and for a remove.

    The CPU of the bare loop is the limit of the keeper, which does the same work.
    """
    pids = {
        KEEPER: daemon.keeper_pid,
        "the daemon": daemon.pid,
        "Redis": environment.redis.pid,
        "the requester": os.getpid(),
    }
    sessions: list[str] = []
    works: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "create": (lambda: sessions.extend(environment.create_sessions(count)), lambda: loop.start(count)),
        "remove": (lambda: environment.remove_sessions(sessions), loop.terminate),
    }
    for op, (requests, bare) in works.items():
        costs = {name: cost * 1e6 / count for name, cost in cpu_seconds_during(pids, requests).items()}
        bare_cost = cpu_seconds_during({"loop": os.getpid()}, bare)["loop"] * 1e6 / count
        for name, cost in costs.items():
            limit = (bare_cost, "the loop's own") if name == KEEPER else (None, "")
            yield Reading(f"{op}, CPU of {name}", cost, "µs", Target(), *limit)
