"""Schedules: the same from the same seed, every kind in them, one fault per victim at a time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.schedule import EVERY, KILLS, OF_REDIS, Kind, Schedule, draw

SEEDS = st.integers(0, 1 << 31)


@given(SEEDS)
def test_the_same_seed_gives_the_same_schedule(seed: int) -> None:
    assert draw(seed, 30, 4, EVERY) == draw(seed, 30, 4, EVERY)


@given(SEEDS)
def test_a_long_one_has_every_kind(seed: int) -> None:
    assert set(draw(seed, 120, 4, EVERY).kinds) == set(EVERY)


def victims(schedule: Schedule, number: int) -> list[tuple[float, float]]:
    """When that cloud (-1: Redis) is hit, from and to."""
    hits = [
        step
        for step in schedule.steps
        if (step.kind in OF_REDIS if number < 0 else step.cloud == number or step.kind is Kind.BEST)
    ]
    return [(step.at, step.at + step.length) for step in hits]


@given(SEEDS, st.integers(-1, 3))
def test_a_victim_recovers_before_it_is_hit_again(seed: int, number: int) -> None:
    times = victims(draw(seed, 60, 4, EVERY), number)
    assert all(end < begin for (_, end), (begin, _) in pairwise(times))


@given(SEEDS, st.sampled_from(range(4)))
def test_the_spared_are_spared(seed: int, spared: int) -> None:
    schedule = draw(seed, 60, 4, KILLS, [spared])
    assert schedule.spared == {spared}
    assert spared not in {step.cloud for step in schedule.steps}


@pytest.mark.parametrize("seconds", [0.0, 5.0])
def test_all_begin_in_time(seconds: float) -> None:
    assert all(step.at < seconds for step in draw(1, seconds, 4, EVERY).steps)
