"""Waiting for the end of a session through the client: how it is noticed, and what is sat out meanwhile."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pycloud.client import Client, NoCloud, NotEnded, RedisUnavailable
from pycloud.client.wait import RETRY_INTERVAL
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Event, StatusResponse, encode
from tests.support.fake_node import FakeCloud, Obedient
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until


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
            event = Event(f"session.{state}", "cccccccccc", 1.5, session=self.session)
            self.cloud.redis.xadd(self.names.events_key, {"event": encode(event)})


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
