"""Two things measured in turns, so that what the machine does meanwhile happens to both."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

Measure = Callable[[], float]


def in_turns(rounds: int, *measures: Measure) -> list[float]:
    """The median of what each comes to; who begins changes from round to round."""
    found: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        order = list(enumerate(measures))
        for index, measure in order if number % 2 == 0 else reversed(order):
            found[index].append(measure())
    return [median(each) for each in found]


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = perf_counter()
    work()
    return perf_counter() - began


def p50_of(work: Callable[[], object], count: int) -> float:
    """The median of ``count`` times, in ms."""
    return median(seconds(work) for _ in range(count)) * 1e3
