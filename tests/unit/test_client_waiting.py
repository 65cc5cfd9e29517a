"""Waiting for the end of a session: when to ask, and when it is over."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pycloud.client import Client, NoCloud, NotEnded, RedisUnavailable
from pycloud.client.wait import AGAIN, ROUND, Vigil
from pycloud.protocol.keys import Names
from pycloud.protocol.messages import Event, StatusResponse, encode
from tests.support.fake_cloud import FakeCloud, Obedient
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SESSION = "0123456789cccccccccc"
ALIVE = StatusResponse("c", SESSION, True, "running")
UNKNOWN = StatusResponse("c", SESSION, False)
EXITED = StatusResponse("c", SESSION, False, "exited", exit_code=3)


def event(name: str, session: str = SESSION) -> Event:
    return Event(name, "cccccccccc", 1.5, session=session)


def test_it_asks_at_once_and_then_now_and_then() -> None:
    vigil = Vigil(SESSION, 100)
    assert vigil.ask_at == 100
    assert not vigil.told(ALIVE, 101)
    assert vigil.ask_at == 101 + ROUND
    vigil.heard(event("session.running"), 102)
    vigil.heard(event("session.exited", "another"), 102)
    assert vigil.ask_at == 101 + ROUND


@pytest.mark.parametrize("name", ["session.exited", "session.failed", "session.removed", "session.lost"])
def test_it_asks_when_it_hears_of_an_end_and_again_a_second_later(name: str) -> None:
    vigil = Vigil(SESSION, 100)
    vigil.told(ALIVE, 100)
    vigil.heard(event(name), 103)
    assert vigil.ask_at == 103
    assert not vigil.told(ALIVE, 103)
    assert vigil.ask_at == 103 + AGAIN


@pytest.mark.parametrize("state", ["exited", "failed", "removed", "lost", "a word of a newer cloud"])
def test_what_lives_no_more_has_ended(state: str) -> None:
    assert Vigil(SESSION, 0).told(StatusResponse("c", SESSION, False, state), 1)


def test_nobody_knowing_it_is_believed_at_once_or_at_the_second_time() -> None:
    assert Vigil(SESSION, 0).told(UNKNOWN, 1)

    vigil = Vigil(SESSION, 0)
    vigil.told(ALIVE, 1)
    assert not vigil.told(UNKNOWN, 2)
    assert vigil.ask_at == 2 + AGAIN
    assert not vigil.told(ALIVE, 3), "a Redis that came back empty did not know it yet"
    assert not vigil.told(UNKNOWN, 4)
    assert vigil.told(UNKNOWN, 5)

    vigil = Vigil(SESSION, 0)
    vigil.told(ALIVE, 1)
    vigil.heard(event("session.removed"), 2)
    assert vigil.told(UNKNOWN, 2)


def test_after_trouble_it_asks_soon_but_not_at_once() -> None:
    vigil = Vigil(SESSION, 0)
    vigil.told(ALIVE, 0)
    vigil.failed(5)
    assert vigil.ask_at == 5 + AGAIN
    vigil.disturbed(5.5)
    assert vigil.ask_at == 5 + AGAIN


class Scene:
    """A session that lives in a cloud that plays along, and somebody who waits for its end."""

    def __init__(self, server: RedisServer, pool: ThreadPoolExecutor) -> None:
        self.names, self._pool = Names(f"test.{secrets.token_hex(4)}"), pool
        self.obedient = Obedient(names=self.names)
        self.cloud = FakeCloud(server.url, self.obedient, names=self.names)
        self.client = Client(server.url, namespace=self.names.namespace)
        self.session = self.obedient.add()

    def wait(self, timeout: float = 60) -> Future[StatusResponse]:
        future = self._pool.submit(self.client.wait, self.session, timeout=timeout)
        wait_until(lambda: self.cloud.heard, 20)
        return future

    def ends(self, state: str = "exited", told: bool = True) -> None:
        self.obedient.sessions[self.session] = state
        if told:
            payload = encode(event(f"session.{state}", self.session))
            self.cloud.redis.xadd(self.names.events_key, {"event": payload})


@pytest.fixture
def scene(own_redis: RedisServer) -> Iterator[Scene]:
    with ThreadPoolExecutor() as pool:
        scene = Scene(own_redis, pool)
        with scene.cloud, scene.client:
            yield scene


def test_an_end_is_noticed_by_its_event(scene: Scene) -> None:
    future = scene.wait()
    assert not future.done()
    scene.ends()

    assert future.result(20).state == "exited"
    assert len(scene.cloud.heard) == 2, "it asks at the beginning and at the end"


def test_what_has_ended_is_told_at_once(scene: Scene) -> None:
    scene.ends(told=False)

    assert scene.client.wait(scene.session).state == "exited"


def test_an_end_that_no_event_told_is_noticed_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pycloud.client.wait.ROUND", AGAIN)
    future = scene.wait()
    scene.ends(told=False)

    assert future.result(20).state == "exited"


@pytest.mark.parametrize("keep_data", [True, False])
def test_a_restart_of_redis_is_sat_out(own_redis: RedisServer, scene: Scene, keep_data: bool) -> None:
    future = scene.wait()
    own_redis.stop()
    scene.ends(told=False)
    own_redis.start(keep_data=keep_data)

    assert future.result(30).state == "exited"


def test_a_cloud_that_restarts_is_sat_out(scene: Scene) -> None:
    future = scene.wait()
    scene.cloud.retire()
    scene.ends()
    wait_until(lambda: scene.cloud.redis.info("commandstats")["cmdstat_exists"]["calls"] >= 3, 20)
    assert not future.done()
    scene.cloud.announce()

    assert future.result(20).state == "exited"


def test_the_time_is_up(own_redis: RedisServer, scene: Scene) -> None:
    with pytest.raises(NotEnded, match="has not ended in time"):
        scene.client.wait(scene.session, timeout=0.5)
    future = scene.wait(timeout=3)
    own_redis.stop()
    with pytest.raises(RedisUnavailable):
        future.result(20)


def test_without_a_cloud_it_is_said_at_once(scene: Scene) -> None:
    scene.cloud.retire()
    with pytest.raises(NoCloud):
        scene.client.wait(scene.session)
