"""Status, create and remove of script sessions on one cloud, beside a responder and beside bare processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from bench.load import Load, about, create
from bench.reading import Reading, Target
from bench.stage import BareLoop, Stage
from bench.turns import in_turns, p50_of, seconds
from bench.usage import during
from tests.support.daemon import Daemon

RESPONDER = "the smallest redis-py responder"
POPEN = "Popen with the same files"
SMALLEST = "the smallest cloud"
KILLPG = "killpg, wait, rmtree"
KEEPER = "the keeper"
STATUS_OUTSTANDING, OUTSTANDING = 256, 64


def status_p50(load: Load, session: str, count: int) -> float:
    """In ms, one at a time."""
    return load.run("status", [about(session)] * count, 1).p50


def status_rate(load: Load, session: str, count: int) -> float:
    """Per second, many at a time."""
    return load.run("status", [about(session)] * count, STATUS_OUTSTANDING).rate


def create_p50(load: Load, count: int) -> float:
    """In ms, one at a time; they are removed again."""
    run = load.run("create", [create()] * count, 1)
    load.run("remove", [about(answer["id"]) for answer in run.decoded()], OUTSTANDING)
    return run.p50


def churn(load: Load, count: int) -> tuple[float, float]:
    """Creates and removes per second, many at a time."""
    made = load.run("create", [create()] * count, OUTSTANDING)
    gone = load.run("remove", [about(answer["id"]) for answer in made.decoded()], OUTSTANDING)
    return made.rate, gone.rate


def bare_churn(loop: BareLoop, count: int) -> tuple[float, float]:
    """The same with bare processes, one after the other."""
    started = count / seconds(lambda: loop.start(count))
    return started, count / seconds(loop.end)


def status(stage: Stage) -> Iterator[Reading]:
    """Ask for one session."""
    with stage.cloud(), stage.responder() as limit:
        (session,) = stage.fill(1)
        status_p50(stage.load, session, 200)  # everybody has loaded everything
        for title, outstanding, count, target in (
            ("status, one at a time, p50", 1, 500, Target(most=1.2)),
            ("status, 256 outstanding, rate", STATUS_OUTSTANDING, 10_000, Target(least=3.0)),
        ):
            measure, unit = (status_p50, "ms") if outstanding == 1 else (status_rate, "/s")
            number = stage.amount(count)
            ours, theirs = in_turns(
                stage.rounds(15),
                lambda m=measure, n=number: m(stage.load, session, n),  # type: ignore[misc]
                lambda m=measure, n=number: m(limit, session, n),  # type: ignore[misc]
            )
            yield Reading(title, ours, unit, target, theirs, RESPONDER)


def create_one(stage: Stage) -> Iterator[Reading]:
    """Start sessions one at a time."""
    with stage.cloud(), stage.bare() as loop, stage.trial() as trial:
        create_p50(stage.load, 10)
        count = stage.amount(100)

        def bare() -> float:
            found = p50_of(loop.start, count)
            loop.end()
            return found

        measures = (lambda: create_p50(stage.load, count), bare, lambda: trial.create(count, 1).p50)
        ours, theirs, smallest = in_turns(stage.rounds(15), *measures)
        title = "create (script), one at a time, p50"
        yield Reading(title, ours, "ms", Target(most=2.0), theirs, POPEN)
        yield Reading(title, ours, "ms", Target(), smallest, SMALLEST)


def create_many(stage: Stage) -> Iterator[Reading]:
    """Start and remove many sessions at a time."""
    with stage.cloud() as daemon, stage.bare() as loop, stage.trial() as trial:
        churn(stage.load, 64)
        count, removed, ended = stage.amount(500), list[float](), list[float]()

        def ours() -> float:
            made, gone = churn(stage.load, count)
            removed.append(gone)
            return made

        def bare() -> float:
            started, gone = bare_churn(loop, count)
            ended.append(gone)
            return started

        measures = (ours, bare, lambda: trial.create(count, OUTSTANDING).rate)
        made, started, smallest = in_turns(stage.rounds(11), *measures)
        title = "create (script), 64 outstanding, rate"
        yield Reading(title, made, "/s", Target(least=0.7), started, POPEN)
        yield Reading(title, made, "/s", Target(), smallest, SMALLEST)
        gone, limit = sorted(removed)[len(removed) // 2], sorted(ended)[len(ended) // 2]
        yield Reading("remove (script), 64 outstanding, rate", gone, "/s", Target(least=0.6), limit, KILLPG)
        yield from spent(stage, daemon, loop, count)


def spent(stage: Stage, daemon: Daemon, loop: BareLoop, count: int) -> Iterator[Reading]:
    """What one of them costs each process; the loop's own share is beside the keeper's, whose work it does."""
    pids = {KEEPER: daemon.keeper_pid, "the daemon": daemon.pid, "Redis": stage.redis.pid, "the requester": os.getpid()}
    made: list[str] = []
    works: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "create": (lambda: made.extend(stage.fill(count)), lambda: loop.start(count)),
        "remove": (lambda: stage.clear(made), loop.end),
    }
    for op, (ours, bare) in works.items():
        costs = {name: cost * 1e6 / count for name, cost in during(pids, ours).items()}
        beside = during({"loop": os.getpid()}, bare)["loop"] * 1e6 / count
        for name, cost in costs.items():
            limit = (beside, "the loop's own") if name == KEEPER else (None, "")
            yield Reading(f"{op}, CPU of {name}", cost, "µs", Target(), *limit)
