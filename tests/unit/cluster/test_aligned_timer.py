"""What is done every so often falls together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pycloud.cluster.aligned_timer import TIMER_SLACK, seconds_to_next_tick

INTERVALS = st.sampled_from([0.1, 0.5, 1.0, 2.0, 5.0, 60.0])
TIMES = st.floats(0, 1e7)


@given(INTERVALS, TIMES)
def test_it_is_a_multiple_of_the_interval(interval: float, now: float) -> None:
    beats = (now + seconds_to_next_tick(interval, now)) / interval
    assert abs(beats - round(beats)) < 1e-3


@given(INTERVALS, TIMES)
def test_none_is_left_out_but_one_that_is_now(interval: float, now: float) -> None:
    assert TIMER_SLACK < seconds_to_next_tick(interval, now) <= interval + TIMER_SLACK


def test_a_timer_that_rings_early_makes_no_second_beat() -> None:
    assert seconds_to_next_tick(1.0, 41.9995) > 1.0
    assert seconds_to_next_tick(1.0, 42.0005) < 1.0


def test_the_rarer_falls_together_with_the_more_frequent() -> None:
    assert [round(seconds_to_next_tick(interval, 118.7), 6) for interval in (0.5, 1, 2, 5, 60)] == [
        0.3,
        0.3,
        1.3,
        1.3,
        1.3,
    ]
