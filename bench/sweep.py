"""Latency and rate over load: the same requests with more and more of them on their way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.load import about, create
from bench.stage import Stage

OUTSTANDING = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Point:
    """What ``outstanding`` requests at a time came to: answers per second, and latencies in ms."""

    op: str
    outstanding: int
    rate: float
    p50: float
    p99: float


def sweep(stage: Stage) -> Iterator[Point]:
    """Status, create and remove over the load."""
    with stage.cloud():
        (session,) = stage.fill(1)
        for outstanding in OUTSTANDING:
            run = stage.load.run(
                "status", [about(session)] * stage.amount(min(10_000, 2_000 * outstanding)), outstanding
            )
            yield Point("status", outstanding, run.rate, run.p50, run.p99)
            made = stage.load.run("create", [create()] * stage.amount(500), outstanding)
            yield Point("create", outstanding, made.rate, made.p50, made.p99)
            gone = stage.load.run("remove", [about(each["id"]) for each in made.decoded()], outstanding)
            yield Point("remove", outstanding, gone.rate, gone.p50, gone.p99)
