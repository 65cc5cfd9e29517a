"""The line below the prompt: true within two seconds, in as many columns as there are, and no busier than needed."""

from __future__ import annotations

import time
from dataclasses import replace

import msgspec
import pytest
import redis

from pycloud.client import Client
from pycloud.client.health import HealthSnapshot, parse_health
from pycloud.client.records import SessionRecord
from pycloud.protocol.messages import Heartbeat, encode
from pycloud.shell.live.feed import LiveState
from pycloud.shell.live.health import Health, redis_address
from pycloud.shell.live.session_cache import SessionCache, SessionsSnapshot
from pycloud.shell.live.summary import format_round_trip, status_line
from pycloud.shell.prompt.toolbar import Toolbar
from tests.support.pycloudctl import Shell
from tests.support.redis_server import RedisServer
from tests.support.terminal import Screen
from tests.support.waiting import wait_until

WHERE = "redis.example.net:6379"
CLOUD = "cccccccccc"


def rank(cloud: str = CLOUD, *, draining: bool = False) -> Heartbeat:
    return Heartbeat(cloud, 1.0, 0.0, 3, "i", "2", "game7", "script", 1.0, draining=draining)


UP = Health().after_snapshot(HealthSnapshot(0.0023, (rank("a" * 10), rank("b" * 10)), frozenset(["b" * 10])), 1.0)
SESSIONS = SessionsSnapshot(complete=True, live_by_node={"a" * 10: 1234, "d" * 10: 2})


def test_what_it_says() -> None:
    assert status_line(UP, SESSIONS, WHERE, 120) == (
        " Redis redis.example.net:6379 up | clouds 1 up, 1 silent | sessions 1,234 live, 2 away | 2 ms "
    )
    assert status_line(UP, SESSIONS, WHERE, 120, shows_events=False).endswith("| 2 ms | events off ")
    drained = HealthSnapshot(
        0.0023, (rank("a" * 10, draining=True), rank("b" * 10, draining=True)), frozenset(["b" * 10])
    )
    assert "clouds 1 up, 1 draining, 1 silent |" in status_line(
        Health().after_snapshot(drained, 1.0), SESSIONS, WHERE, 120
    )
    assert "clouds none" in status_line(Health().after_snapshot(HealthSnapshot(0.0), 1.0), SESSIONS, WHERE, 120)
    assert (
        status_line(Health(), SessionsSnapshot(), WHERE, 80)
        == " Redis redis.example.net:6379 ? | clouds ? | sessions ? "
    )
    down = status_line(UP.after_outage("gone", 2.0), SESSIONS, WHERE, 80)
    assert down == " Redis redis.example.net:6379 DOWN | clouds ? | sessions ? "


@pytest.mark.parametrize("width", [200, 80, 79, 60, 40, 30, 20, 10, 1])
def test_it_fits(width: int) -> None:
    for where in (WHERE, "x" * 100):
        line = status_line(UP, SESSIONS, where, width)
        assert len(line) <= width
        assert width < 8 or "Redis up" in line or where in line


def test_a_round_trip_is_told_by_one_digit() -> None:
    assert [format_round_trip(seconds) for seconds in (0.0002, 0.0014, 0.0234, 0.47, 1.2)] == [
        "<1 ms",
        "1 ms",
        "20 ms",
        "500 ms",
        "1000 ms",
    ]


def test_where_redis_is_without_its_password() -> None:
    assert redis_address("redis://user:***@redis.example.net/0") == WHERE
    assert redis_address("redis://") == "localhost:6379"
    assert redis_address("unix:///run/redis.sock") == "/run/redis.sock"


def test_since_when() -> None:
    health = Health().after_outage("a", 1.0).after_outage("b", 2.0)
    assert (health.up, health.since, health.error) == (False, 1.0, "b")
    assert health.after_snapshot(HealthSnapshot(0.0), 3.0).after_snapshot(HealthSnapshot(0.0), 4.0).since == 3.0


def test_a_cloud_is_silent_before_it_is_gone() -> None:
    payloads = [encode(rank(letter * 10)) for letter in "abc"] + [None, b"nonsense"]
    pulse = parse_health(0.001, payloads, [2500, 1500, -1, -2, 1000], 7)
    assert [each.id[0] for each in pulse.heartbeats] == ["a", "b", "c"]
    assert pulse.overdue == {"b" * 10}
    assert pulse.session_count == 7


def test_the_pulse_of_a_real_redis(shell: Shell) -> None:
    shell.obedient.add()
    with Client(shell.url, namespace=shell.cloud.names.namespace) as client:
        pulse = client.health()
    assert [each.id for each in pulse.heartbeats] == [CLOUD]
    assert pulse.session_count == 1
    assert 0 < pulse.round_trip < 10


def test_it_is_redrawn_when_it_changes_and_seldom(shell: Shell) -> None:
    with Client(shell.url) as client:
        feed, drawn = LiveState(client), []
        toolbar = Toolbar(feed, lambda: True, WHERE, lambda: drawn.append(time.monotonic()))
        feed.notify_changed()
        assert not drawn, "it was never shown"
        toolbar.text(80)
        for _ in range(100):
            feed.notify_changed()
        assert not drawn, "it says the same"
        feed.health = UP
        feed.notify_changed()
        assert len(drawn) == 1, "Redis is up: at once"
        toolbar.text(80)
        feed.sessions = replace(SESSIONS, live_by_node={"a" * 10: 7})
        feed.notify_changed()
        assert len(drawn) == 1, "numbers have a second"
        feed.health = UP.after_outage("gone", 2.0)
        feed.notify_changed()
        assert len(drawn) == 2


def test_the_roll_keeps_what_is_there() -> None:
    one, two = (SessionRecord(CLOUD, letter * 20, True, "running") for letter in "ab")
    roll = SessionCache()
    assert roll.sync_ids([one.id, two.id]) == [one.id, two.id]
    roll.update([one.id, two.id], [one, two])
    roll.update([two.id], [msgspec.structs.replace(two, status=False, state="exited")])
    assert roll.snapshot().live_by_node == {CLOUD: 1}
    assert roll.snapshot().ended_words == (two.id,)
    roll.update([one.id], [])
    assert roll.sync_ids([two.id]) == []
    assert list(roll.snapshot().records) == [two.id]


def says(screen: Screen, *texts: str) -> float:
    """Wait until the toolbar says this; returns how long that took."""
    began = time.monotonic()
    wait_until(lambda: all(text in screen.below for text in texts), 20, lambda: f"{texts} below\n{screen.text}")
    return time.monotonic() - began


def test_on_the_screen(shell: Shell, screen: Screen) -> None:
    session = shell.obedient.add()
    says(screen, "up | clouds 1 up | sessions 1 live | ", " ms")
    shell.cloud.redis.hset(shell.cloud.names.session_key(session), "state", "exited")
    shell.tell({"event": "session.exited", "session": session})
    says(screen, "sessions 0 live")
    shell.cloud.retire()
    says(screen, "clouds none")
    screen.resize(40)
    says(screen, " Redis up | clouds none | 0 live")


def test_the_loss_of_redis_shows(own_redis: RedisServer, shell: Shell) -> None:
    shell.env["PYCLOUD_REDIS_URL"] = own_redis.url
    screen = Screen(shell)
    says(screen, f"127.0.0.1:{own_redis.port} up", "clouds none")
    screen.type("half a li")
    own_redis.freeze()
    says(screen, "DOWN", "clouds ?")
    own_redis.thaw()
    says(screen, " up ")
    own_redis.stop()
    says(screen, "DOWN")
    own_redis.start()
    says(screen, " up ")
    assert screen.line == "pycloud> half a li"
    screen.close()


@pytest.mark.alone
def test_ux_08_a_loss_shows_within_two_seconds(own_redis: RedisServer, shell: Shell) -> None:
    shell.env["PYCLOUD_REDIS_URL"] = own_redis.url
    names = shell.cloud.names
    screen = Screen(shell)
    with redis.Redis.from_url(own_redis.url) as server:
        for cloud in (CLOUD, "d" * 10):
            server.zadd(names.nodes_key, {cloud: time.time()})
        server.set(names.node_key(CLOUD), encode(rank()))
        server.set(names.node_key("d" * 10), encode(rank("d" * 10)), px=600_000)
        says(screen, "clouds 2 up")
        server.set(names.node_key("d" * 10), encode(rank("d" * 10)), px=3000)  # its last heartbeat
        # A second above what is promised: machines that run tests may be busy with something else at the same time.
        assert says(screen, "clouds 1 up, 1 silent") < 3
    own_redis.freeze()
    assert says(screen, "DOWN") < 3
    screen.close()
