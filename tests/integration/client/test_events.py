"""The stream of events through the client: what stands in it, what comes, and a Redis that goes away meanwhile."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Iterator

import pytest
import redis

from pycloud.client import Client, RedisUnavailable
from pycloud.client.events import PAGE_SIZE
from pycloud.protocol.keys import Keys
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

NAMES = Keys()


def payload(number: int) -> bytes:
    return json.dumps({"event": "cloud.up", "cloud": f"c{number}", "time": 1.5, "colour": "blue"}).encode()


@pytest.fixture
def server(own_redis: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_redis.url, protocol=2) as server:
        yield server


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator[Client]:
    with Client(own_redis.url) as client:
        yield client


class Listener:
    """Follows in a thread of its own; ``clouds`` are those it heard of, ``outages`` what it was told of Redis."""

    def __init__(self, client: Client) -> None:
        self.clouds: list[str] = []
        self.outages: queue.Queue[RedisUnavailable | None] = queue.Queue()
        self._events = client.events(follow=True, on_loss=self.outages.put)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(RuntimeError, RedisUnavailable):  # the client is closed at the end of the test
            for event in self._events:
                self.clouds.append(event.cloud)

    def hears(self, *clouds: str) -> None:
        wait_until(lambda: self.clouds == list(clouds), 20, lambda: f"{clouds}, but heard: {self.clouds}")


def add(server: redis.Redis, *numbers: int, at: str = "*") -> None:
    for number in numbers:
        server.xadd(NAMES.events_key, {"event": payload(number)}, id=at)


def test_all_that_stands_there(client: Client, server: redis.Redis) -> None:
    assert list(client.events()) == []
    count = 2 * PAGE_SIZE
    with server.pipeline() as pipeline:
        for number in range(count):
            pipeline.xadd(NAMES.events_key, {"event": payload(number)})
        pipeline.execute()

    events = list(client.events())
    assert [event.cloud for event in events] == [f"c{number}" for number in range(count)]
    assert events[0].raw == payload(0)
    assert [event.cloud for event in client.events(last=2)] == [f"c{count - 2}", f"c{count - 1}"]
    assert list(client.events(last=0)) == []


def test_from_a_time_on(client: Client, server: redis.Redis) -> None:
    for number, at in enumerate(("999999-5", "1000000-0", "1000000-7", "1000001-0")):
        add(server, number, at=at)

    assert [event.cloud for event in client.events(since=1000.0)] == ["c1", "c2", "c3"]
    assert [event.cloud for event in client.events(since=1000.0, last=2)] == ["c2", "c3"]
    assert [event.cloud for event in client.events(since=1000.001)] == ["c3"]
    assert list(client.events(since=time.time() + 60)) == []


def test_what_is_no_event_is_passed_over(client: Client, server: redis.Redis) -> None:
    server.xadd(NAMES.events_key, {"other": "x"})
    server.xadd(NAMES.events_key, {"event": b"\xff"})
    add(server, 1)

    assert [event.cloud for event in client.events()] == ["c1"]


def test_following_begins_now(client: Client, server: redis.Redis) -> None:
    add(server, 1)
    events = client.events(follow=True)
    add(server, 2, 3)
    assert [next(events).cloud, next(events).cloud] == ["c2", "c3"]

    events = client.events(follow=True, last=1)
    add(server, 4)
    assert [next(events).cloud, next(events).cloud] == ["c3", "c4"]


@pytest.mark.parametrize("keep_data", [True, False])
def test_following_survives_a_restart(
    own_redis: RedisServer, client: Client, server: redis.Redis, keep_data: bool
) -> None:
    add(server, 1)
    listener = Listener(client)
    add(server, 2)
    listener.hears("c2")
    own_redis.restart(keep_data=keep_data)
    add(server, 3)
    listener.hears("c2", "c3")
    assert isinstance(listener.outages.get(timeout=20), RedisUnavailable)
    assert listener.outages.get(timeout=20) is None
    assert listener.outages.empty()


def test_following_goes_on_in_a_stream_whose_clock_is_behind(client: Client, server: redis.Redis) -> None:
    add(server, 1)
    listener = Listener(client)
    add(server, 2)
    listener.hears("c2")
    server.delete(NAMES.events_key)
    server.config_resetstat()
    # The second read from here on began after the stream was gone.
    wait_until(lambda: server.info("commandstats").get("cmdstat_xread", {}).get("calls", 0) >= 2, 20)
    add(server, 3, at="5-0")
    listener.hears("c2", "c3")


def test_an_unreachable_redis_is_said_at_once() -> None:
    with Client(f"redis://127.0.0.1:{free_port()}") as client, pytest.raises(RedisUnavailable):
        client.events(follow=True)
