"""Several clouds on one machine: how fast they are together, how even, and what a create costs a bystander."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from time import perf_counter, sleep, time

import msgspec

from bench.chorus import rank_of
from bench.line import Line
from bench.load import Load, about, create
from bench.reading import Reading, Target
from bench.scripts import OUTSTANDING, churn
from bench.stage import Stage
from bench.turns import in_turns
from bench.usage import cpu
from pycloud.protocol.decoding import decode_request
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import encode

CLOUDS = 3
NAMES = Keys()
#: A cloud that is not there: it only says that it has less to do than all others.
TAKER = "f" * 10
#: How creates come to a bystander: so many together, so many times a second.
BURST, BURSTS = 64, 16


def three(stage: Stage) -> Iterator[Reading]:
    """The same creates for three clouds as for one."""
    with Stage(quick=stage.quick, place=stage.place) as alone, alone.cloud(), ExitStack() as stack:
        for _ in range(CLOUDS):
            stack.enter_context(stage.cloud())
        count, taken = stage.amount(500), Counter[str]()
        churn(alone.load, 64)
        churn(stage.load, 64)
        ours, limit = in_turns(
            stage.rounds(9), lambda: counted(stage.load, count, taken), lambda: churn(alone.load, count)[0]
        )
        yield Reading("create over 3 clouds, 64 outstanding, rate", ours, "/s", Target(least=0.9), limit, "one cloud")
        most = max(taken.values()) / (taken.total() / CLOUDS)
        yield Reading("create over 3 clouds, balance (most / mean)", most, "x", Target(most=1.05, absolute=True))


def counted(load: Load, count: int, taken: Counter[str]) -> float:
    """Creates per second; who took how many is added to ``taken``."""
    made = load.run("create", [create()] * count, OUTSTANDING)
    answers = made.decoded()
    taken.update(answer["cloud"] for answer in answers)
    load.run("remove", [about(answer["id"]) for answer in answers], OUTSTANDING)
    return made.rate


def bystander(stage: Stage) -> Iterator[Reading]:
    """What a create costs the cloud that comes second: it hears it, keeps it, and sees that it was claimed."""
    with stage.cloud() as daemon, Line(stage.redis.port, silent=True) as line:
        seconds = stage.amount(100) / 10
        say(line)
        sleep(1.5)  # it has heard of the taker
        before = cpu(daemon.pid)
        hear(line, seconds, bursts=0)
        idle = cpu(daemon.pid) - before
        before = cpu(daemon.pid)
        creates = hear(line, seconds, bursts=BURSTS)
        cost = (cpu(daemon.pid) - before - idle) / creates * 1e6
        assert not daemon.sessions(), "it was not to take any"
    bare = decoding()
    title = "a create that another cloud takes, CPU"
    yield Reading(title, cost, "µs", Target(most=3.0), bare, "decoding the payload")
    yield Reading(title, cost, "µs", Target(most=50.0, absolute=True))


def say(line: Line) -> None:
    """The heartbeat of the cloud that takes everything."""
    rank = rank_of(TAKER)
    line.send(
        ("SET", NAMES.node_key(TAKER), encode(rank), "PX", 3000),
        ("ZADD", NAMES.nodes_key, time(), TAKER),
        ("PUBLISH", NAMES.heartbeat_channel, encode(rank)),
    )


def hear(line: Line, seconds: float, bursts: int) -> int:
    """Publish creates for so long, each of them claimed; how many. The taker's heart goes on."""
    began, number, turn, turns = perf_counter(), 0, 0, max(bursts, 4)
    while (now := perf_counter() - began) < seconds:
        if turn % (turns // 4) == 0:
            say(line)
        if bursts:
            ids = [f"by{began:.3f}-{number + each}" for each in range(BURST)]
            claims = [("HSET", NAMES.request_key("create", id_), "token", "t", "digest", "d") for id_ in ids]
            expiries = [("PEXPIRE", NAMES.request_key("create", id_), 20_000) for id_ in ids]
            creates = [("PUBLISH", NAMES.request_channel("create"), payload(id_)) for id_ in ids]
            line.send(*claims, *expiries, *creates)
            number += BURST
        turn += 1
        sleep(max(0.0, turn / turns - now))
    sleep(1.0)  # what was kept is looked at within that time
    return number


def payload(id_: str) -> bytes:
    """One create as it is published."""
    return b'{"id":%b,%b}' % (msgspec.json.encode(id_), create())


def decoding() -> float:
    """µs that it takes to make a request of a payload, the best of many tries."""
    best, data = float("inf"), payload("bystander-1")
    assert json.loads(data)["script"]
    for _ in range(200):
        began = perf_counter()
        for _ in range(100):
            decode_request("create", data, 1 << 20)
        best = min(best, perf_counter() - began)
    return best / 100 * 1e6
