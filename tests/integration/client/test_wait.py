"""Waiting for the end of a session: when to ask, and when it is over."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pycloud.client import Client, NoCloud, NotEnded, RedisUnavailable
from pycloud.client.wait import POLL_INTERVAL, RETRY_INTERVAL, ExitWaiter
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Event, StatusResponse, encode
from tests.support.fake_node import FakeCloud, Obedient
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SESSION = "0123456789cccccccccc"
ALIVE = StatusResponse("c", SESSION, True, "running")
UNKNOWN = StatusResponse("c", SESSION, False)
EXITED = StatusResponse("c", SESSION, False, "exited", exit_code=3)


def event(name: str, session: str = SESSION) -> Event:
    return Event(name, "cccccccccc", 1.5, session=session)


def test_it_asks_at_once_and_then_now_and_then() -> None:
    vigil = ExitWaiter(SESSION, 100)
    assert vigil.query_at == 100
    assert not vigil.on_response(ALIVE, 101)
    assert vigil.query_at == 101 + POLL_INTERVAL
    vigil.on_event(event("session.running"), 102)
    vigil.on_event(event("session.exited", "another"), 102)
    assert vigil.query_at == 101 + POLL_INTERVAL


@pytest.mark.parametrize("name", ["session.exited", "session.failed", "session.removed", "session.lost"])
def test_it_asks_when_it_hears_of_an_end_and_again_a_second_later(name: str) -> None:
    vigil = ExitWaiter(SESSION, 100)
    vigil.on_response(ALIVE, 100)
    vigil.on_event(event(name), 103)
    assert vigil.query_at == 103
    assert not vigil.on_response(ALIVE, 103)
    assert vigil.query_at == 103 + RETRY_INTERVAL


@pytest.mark.parametrize("state", ["exited", "failed", "removed", "lost", "a word of a newer cloud"])
def test_what_lives_no_more_has_ended(state: str) -> None:
    assert ExitWaiter(SESSION, 0).on_response(StatusResponse("c", SESSION, False, state), 1)


def test_nobody_knowing_it_is_believed_at_once_or_at_the_second_time() -> None:
    assert ExitWaiter(SESSION, 0).on_response(UNKNOWN, 1)

    vigil = ExitWaiter(SESSION, 0)
    vigil.on_response(ALIVE, 1)
    assert not vigil.on_response(UNKNOWN, 2)
    assert vigil.query_at == 2 + RETRY_INTERVAL
    assert not vigil.on_response(ALIVE, 3), "a Redis that came back empty did not know it yet"
    assert not vigil.on_response(UNKNOWN, 4)
    assert vigil.on_response(UNKNOWN, 5)

    vigil = ExitWaiter(SESSION, 0)
    vigil.on_response(ALIVE, 1)
    vigil.on_event(event("session.removed"), 2)
    assert vigil.on_response(UNKNOWN, 2)


def test_after_trouble_it_asks_soon_but_not_at_once() -> None:
    vigil = ExitWaiter(SESSION, 0)
    vigil.on_response(ALIVE, 0)
    vigil.on_query_failed(5)
    assert vigil.query_at == 5 + RETRY_INTERVAL
    vigil.on_disconnected(5.5)
    assert vigil.query_at == 5 + RETRY_INTERVAL


class Scene:
    """A session that lives in a cloud that plays along, and somebody who waits for its end."""

    def __init__(self, server: RedisServer, pool: ThreadPoolExecutor) -> None:
        self.names, self._pool = Keys(f"test.{secrets.token_hex(4)}"), pool
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
    monkeypatch.setattr("pycloud.client.wait.POLL_INTERVAL", RETRY_INTERVAL)
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
