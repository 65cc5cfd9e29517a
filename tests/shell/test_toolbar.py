"""The line below the prompt: true within two seconds, in as many columns as there are, and no busier than needed."""

from __future__ import annotations

import time
from dataclasses import replace

import msgspec
import pytest
import redis

from pycloud.client import Client
from pycloud.client.pulse import Pulse, judge
from pycloud.client.records import SessionRecord
from pycloud.protocol.messages import Rank, encode
from pycloud.shell.live.feed import Feed
from pycloud.shell.live.health import Health, place
from pycloud.shell.live.session_cache import Roll, Sessions
from pycloud.shell.live.summary import line_of, round_trip
from pycloud.shell.prompt.toolbar import Toolbar
from tests.shell.conftest import Shell
from tests.shell.screen import Screen
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

WHERE = "redis.example.net:6379"
CLOUD = "cccccccccc"


def rank(cloud: str = CLOUD, *, draining: bool = False) -> Rank:
    return Rank(cloud, 1.0, 0.0, 3, "i", "2", "game7", "script", 1.0, draining=draining)


UP = Health().heard(Pulse(0.0023, (rank("a" * 10), rank("b" * 10)), frozenset(["b" * 10])), 1.0)
SESSIONS = Sessions(complete=True, live={"a" * 10: 1234, "d" * 10: 2})


def test_what_it_says() -> None:
    assert line_of(UP, SESSIONS, WHERE, 120) == (
        " Redis redis.example.net:6379 up | clouds 1 up, 1 silent | sessions 1,234 live, 2 away | 2 ms "
    )
    assert line_of(UP, SESSIONS, WHERE, 120, watching=False).endswith("| 2 ms | events off ")
    drained = Pulse(0.0023, (rank("a" * 10, draining=True), rank("b" * 10, draining=True)), frozenset(["b" * 10]))
    assert "clouds 1 up, 1 draining, 1 silent |" in line_of(Health().heard(drained, 1.0), SESSIONS, WHERE, 120)
    assert "clouds none" in line_of(Health().heard(Pulse(0.0), 1.0), SESSIONS, WHERE, 120)
    assert line_of(Health(), Sessions(), WHERE, 80) == " Redis redis.example.net:6379 ? | clouds ? | sessions ? "
    down = line_of(UP.lost("gone", 2.0), SESSIONS, WHERE, 80)
    assert down == " Redis redis.example.net:6379 DOWN | clouds ? | sessions ? "


@pytest.mark.parametrize("width", [200, 80, 79, 60, 40, 30, 20, 10, 1])
def test_it_fits(width: int) -> None:
    for where in (WHERE, "x" * 100):
        line = line_of(UP, SESSIONS, where, width)
        assert len(line) <= width
        assert width < 8 or "Redis up" in line or where in line


def test_a_round_trip_is_told_by_one_digit() -> None:
    assert [round_trip(seconds) for seconds in (0.0002, 0.0014, 0.0234, 0.47, 1.2)] == [
        "<1 ms",
        "1 ms",
        "20 ms",
        "500 ms",
        "1000 ms",
    ]


def test_where_redis_is_without_its_password() -> None:
    assert place("redis://user:***@redis.example.net/0") == WHERE
    assert place("redis://") == "localhost:6379"
    assert place("unix:///run/redis.sock") == "/run/redis.sock"


def test_since_when() -> None:
    health = Health().lost("a", 1.0).lost("b", 2.0)
    assert (health.up, health.since, health.trouble) == (False, 1.0, "b")
    assert health.heard(Pulse(0.0), 3.0).heard(Pulse(0.0), 4.0).since == 3.0


def test_a_cloud_is_silent_before_it_is_gone() -> None:
    payloads = [encode(rank(letter * 10)) for letter in "abc"] + [None, b"nonsense"]
    pulse = judge(0.001, payloads, [2500, 1500, -1, -2, 1000], 7)
    assert [each.id[0] for each in pulse.clouds] == ["a", "b", "c"]
    assert pulse.silent == {"b" * 10}
    assert pulse.recorded == 7


def test_the_pulse_of_a_real_redis(shell: Shell) -> None:
    shell.obedient.add()
    with Client(shell.url, namespace=shell.cloud.names.namespace) as client:
        pulse = client.pulse()
    assert [each.id for each in pulse.clouds] == [CLOUD]
    assert pulse.recorded == 1
    assert 0 < pulse.round_trip < 10


def test_it_is_redrawn_when_it_changes_and_seldom(shell: Shell) -> None:
    with Client(shell.url) as client:
        feed, drawn = Feed(client), []
        toolbar = Toolbar(feed, lambda: True, WHERE, lambda: drawn.append(time.monotonic()))
        feed.changed()
        assert not drawn, "it was never shown"
        toolbar.text(80)
        for _ in range(100):
            feed.changed()
        assert not drawn, "it says the same"
        feed.health = UP
        feed.changed()
        assert len(drawn) == 1, "Redis is up: at once"
        toolbar.text(80)
        feed.sessions = replace(SESSIONS, live={"a" * 10: 7})
        feed.changed()
        assert len(drawn) == 1, "numbers have a second"
        feed.health = UP.lost("gone", 2.0)
        feed.changed()
        assert len(drawn) == 2


def test_the_roll_keeps_what_is_there() -> None:
    one, two = (SessionRecord(CLOUD, letter * 20, True, "running") for letter in "ab")
    roll = Roll()
    assert roll.keep([one.id, two.id]) == [one.id, two.id]
    roll.put([one.id, two.id], [one, two])
    roll.put([two.id], [msgspec.structs.replace(two, status=False, state="exited")])
    assert roll.picture().live == {CLOUD: 1}
    assert roll.picture().others == (two.id,)
    roll.put([one.id], [])
    assert roll.keep([two.id]) == []
    assert list(roll.picture().records) == [two.id]


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
            server.zadd(names.clouds_key, {cloud: time.time()})
        server.set(names.cloud_key(CLOUD), encode(rank()))
        server.set(names.cloud_key("d" * 10), encode(rank("d" * 10)), px=600_000)
        says(screen, "clouds 2 up")
        server.set(names.cloud_key("d" * 10), encode(rank("d" * 10)), px=3000)  # its last heartbeat
        # A second above what is promised: machines that run tests may be busy with something else at the same time.
        assert says(screen, "clouds 1 up, 1 silent") < 3
    own_redis.freeze()
    assert says(screen, "DOWN") < 3
    screen.close()
