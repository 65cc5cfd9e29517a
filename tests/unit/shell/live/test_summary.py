"""The line below the prompt: what it says, in as many columns as there are."""

from __future__ import annotations

import pytest

from pycloud.client.health import HealthSnapshot
from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import SessionsSnapshot
from pycloud.shell.live.summary import format_round_trip, status_line
from tests.support.heartbeats import heartbeat_of
from tests.support.live_status import ADDRESS, HEALTH, SESSIONS


def test_what_it_says() -> None:
    assert status_line(HEALTH, SESSIONS, ADDRESS, 120) == (
        " Redis redis.example.net:6379 up | nodes 1 up, 1 silent | sessions 1,234 live, 2 stale | 2 ms "
    )
    assert status_line(HEALTH, SESSIONS, ADDRESS, 120, shows_events=False).endswith("| 2 ms | events off ")
    drained = HealthSnapshot(
        0.0023, (heartbeat_of("a" * 10, draining=True), heartbeat_of("b" * 10, draining=True)), frozenset(["b" * 10])
    )
    assert "nodes 1 up, 1 draining, 1 silent |" in status_line(
        Health().after_snapshot(drained, 1.0), SESSIONS, ADDRESS, 120
    )
    assert "nodes none" in status_line(Health().after_snapshot(HealthSnapshot(0.0), 1.0), SESSIONS, ADDRESS, 120)
    assert (
        status_line(Health(), SessionsSnapshot(), ADDRESS, 80)
        == " Redis redis.example.net:6379 ? | nodes ? | sessions ? "
    )
    down = status_line(HEALTH.after_outage("gone", 2.0), SESSIONS, ADDRESS, 80)
    assert down == " Redis redis.example.net:6379 DOWN | nodes ? | sessions ? "


@pytest.mark.parametrize("width", [200, 80, 79, 60, 40, 30, 20, 10, 1])
def test_it_fits(width: int) -> None:
    for address in (ADDRESS, "x" * 100):
        line = status_line(HEALTH, SESSIONS, address, width)
        assert len(line) <= width
        assert width < 8 or "Redis up" in line or address in line


def test_a_round_trip_is_told_by_one_digit() -> None:
    assert [format_round_trip(seconds) for seconds in (0.0002, 0.0014, 0.0234, 0.47, 1.2)] == [
        "<1 ms",
        "1 ms",
        "20 ms",
        "500 ms",
        "1000 ms",
    ]
