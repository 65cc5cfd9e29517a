"""The client where things go wrong: silent clouds, a Redis that is frozen, restarted, or not there."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pycloud.client import Client, Created, NoAnswer, RedisUnavailable
from pycloud.transport.blocking import DeadlineConnectionPool
from tests.support.fake_node import FakeCloud, Fields, Heard, Obedient, silent
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SESSION = "0123456789cccccccccc"
#: Far more than anything here may take, far less than any time limit that should not have been waited for.
SOON = 5.0


class Deaf:
    """A cloud that answers only what it has heard so many times."""

    def __init__(self, times: int) -> None:
        self._times, self._obedient = times, Obedient()
        self._obedient.add(session=SESSION)

    def __call__(self, heard: Heard, before: int) -> Fields | None:
        return self._obedient(heard, before) if before >= self._times else None


@pytest.fixture
def client(own_redis: RedisServer) -> object:
    with Client(own_redis.url, timeout=20) as client:
        yield client


def create_in_background(pool: ThreadPoolExecutor, client: Client, cloud: FakeCloud) -> Future[Created]:
    """A create that the cloud has heard and not answered."""
    future = pool.submit(client.create, "sleep 60", id="r1")
    wait_until(lambda: cloud.heard, message="the cloud hears the request")
    return future


def test_a_request_that_nobody_answered_is_published_again(own_redis: RedisServer, client: Client) -> None:
    with FakeCloud(own_redis.url, Deaf(2)) as cloud:
        created = client.create("sleep 60", env={"A": "b"})

    assert created.id
    assert len(cloud.heard) == 3
    assert len({heard.payload for heard in cloud.heard}) == 1, "repeats have the same bytes"
    gaps = [later.at - earlier.at for earlier, later in zip(cloud.heard, cloud.heard[1:], strict=False)]
    assert gaps[0] > 0.8
    assert gaps[1] > 1.6


def test_after_a_silent_second_all_are_asked(own_redis: RedisServer, client: Client) -> None:
    with FakeCloud(own_redis.url, Deaf(1)) as cloud:
        assert client.status(SESSION).status

    names = cloud.names
    assert [heard.channel for heard in cloud.heard] == [
        names.node_channel("cccccccccc"),
        names.request_channel("status"),
    ]
    assert len({heard.payload for heard in cloud.heard}) == 1


def test_logs_are_asked_of_the_owner_again(own_redis: RedisServer, client: Client) -> None:
    with FakeCloud(own_redis.url, Deaf(1)) as cloud:
        assert client.logs(SESSION) == b"hello\n"

    assert {heard.channel for heard in cloud.heard} == {cloud.names.node_channel("cccccccccc")}
    assert len(cloud.heard) == 2


def test_silence_ends_at_the_timeout(own_redis: RedisServer, client: Client) -> None:
    with FakeCloud(own_redis.url, silent) as cloud:
        began = time.monotonic()
        with pytest.raises(NoAnswer, match=r"r1.*same id"):
            client.create("sleep 60", id="r1", timeout=1.5)
        took = time.monotonic() - began

    assert 1.5 <= took < SOON
    assert len(cloud.heard) == 2


def test_a_cloud_that_dies_meanwhile_is_waited_for(own_redis: RedisServer, client: Client) -> None:
    with FakeCloud(own_redis.url, Deaf(2)) as cloud, ThreadPoolExecutor() as pool:
        future = create_in_background(pool, client, cloud)
        cloud.retire()

        assert future.result(20).id


def test_an_unreachable_redis_is_said_at_once() -> None:
    with Client(f"redis://127.0.0.1:{free_port()}", timeout=60) as client:
        began = time.monotonic()
        for attempt in (lambda: client.create("x"), lambda: list(client.sessions()), client.nodes):
            with pytest.raises(RedisUnavailable, match="cannot be reached"):
                attempt()
        assert time.monotonic() - began < SOON


def test_a_frozen_redis_ends_at_the_timeout(own_redis: RedisServer) -> None:
    own_redis.freeze()
    try:
        with Client(own_redis.url, timeout=1) as client:
            for attempt in (lambda: client.create("x"), lambda: list(client.sessions())):
                began = time.monotonic()
                with pytest.raises(RedisUnavailable):
                    attempt()
                assert 1 <= time.monotonic() - began < SOON
    finally:
        own_redis.thaw()


def test_a_redis_that_freezes_on_the_way_ends_at_the_timeout(own_redis: RedisServer, client: Client) -> None:
    with FakeCloud(own_redis.url, Deaf(99)) as cloud, ThreadPoolExecutor() as pool:
        future = pool.submit(client.create, "sleep 60", timeout=2)
        began = time.monotonic()
        wait_until(lambda: cloud.heard)
        own_redis.freeze()
        try:
            with pytest.raises(RedisUnavailable):
                future.result(20)
            assert time.monotonic() - began < SOON
        finally:
            own_redis.thaw()


def test_sending_to_a_frozen_redis_ends_in_time(own_redis: RedisServer) -> None:
    """More than fits into the buffers between the two, so that sending itself blocks."""
    lines = DeadlineConnectionPool(own_redis.url)
    began = time.monotonic()
    with pytest.raises(RedisUnavailable, match="does not respond"), lines.connection(began + 1) as line:
        own_redis.freeze()
        line.send(began + 1, ("PUBLISH", "anywhere", "x" * (64 << 20)))
    own_redis.thaw()

    assert 1 <= time.monotonic() - began < SOON
    lines.close()


def test_a_redis_that_thaws_in_time_is_no_trouble(own_redis: RedisServer, client: Client) -> None:
    with FakeCloud(own_redis.url, Deaf(1)) as cloud, ThreadPoolExecutor() as pool:
        future = create_in_background(pool, client, cloud)
        own_redis.freeze()
        thaw = threading.Timer(1.5, own_redis.thaw)
        thaw.start()

        assert future.result(20).id
        thaw.join()


@pytest.mark.parametrize("keep_data", [True, False])
def test_a_restart_of_redis_is_survived(own_redis: RedisServer, client: Client, keep_data: bool) -> None:
    with FakeCloud(own_redis.url, Deaf(1)) as cloud, ThreadPoolExecutor() as pool:
        future = create_in_background(pool, client, cloud)
        own_redis.kill()
        own_redis.start(keep_data=keep_data)

        assert future.result(20).id
    assert len({heard.payload for heard in cloud.heard}) == 1


def test_a_redis_that_stays_away_ends_at_the_timeout(own_redis: RedisServer, client: Client) -> None:
    with FakeCloud(own_redis.url, Deaf(1)) as cloud, ThreadPoolExecutor() as pool:
        future = pool.submit(client.create, "sleep 60", timeout=2)
        wait_until(lambda: cloud.heard)
        own_redis.stop()

        with pytest.raises(RedisUnavailable, match="cannot be reached"):
            future.result(20)


def test_a_client_outlives_a_restart_between_requests(own_redis: RedisServer, client: Client) -> None:
    with FakeCloud(own_redis.url, Deaf(0)) as cloud:
        assert client.status(SESSION).status
        own_redis.restart()
        wait_until(lambda: client.nodes())
        wait_until(lambda: cloud.redis.pubsub_numsub(cloud.names.request_channel("status"))[0][1])

        assert client.status(SESSION).status
