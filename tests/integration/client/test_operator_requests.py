"""What the client offers operators: a session closely, clouds that are away, and looks that go on."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from pycloud.client import Client, NoCloud, NotFound, RedisUnavailable
from pycloud.client.request import build_request
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Heartbeat, encode
from tests.support.fake_node import FakeCloud, Obedient
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

AWAY = "dddddddddd"


@pytest.fixture
def names() -> Keys:
    return Keys(f"test.{secrets.token_hex(4)}")


@pytest.fixture
def cloud(shared_redis: RedisServer, names: Keys) -> Iterator[FakeCloud]:
    obedient = Obedient(names=names)
    with FakeCloud(shared_redis.url, obedient, names=names) as cloud:
        obedient.redis = cloud.redis
        yield cloud


@pytest.fixture
def obedient(cloud: FakeCloud) -> Obedient:
    assert isinstance(cloud._reply, Obedient)
    return cloud._reply


@pytest.fixture
def client(shared_redis: RedisServer, names: Keys) -> Iterator[Client]:
    with Client(shared_redis.url, namespace=names.namespace) as client:
        yield client


def test_inspect(client: Client, cloud: FakeCloud, obedient: Obedient) -> None:
    session = obedient.add()
    told = client.inspect(session)
    assert (told.state, told.figures) != (None, None)
    assert told.figures is not None
    assert (told.figures.processes, told.details) == (3, {"pid": 7, "more": [1]})
    assert cloud.heard[-1].channel == cloud.names.node_channel(cloud.cloud)
    with pytest.raises(NotFound):
        client.inspect("0" * 10 + cloud.cloud)
    with pytest.raises(ValueError, match="not a session id"):
        client.inspect("nonsense")


def test_inspect_where_the_owner_is_away(client: Client, obedient: Obedient) -> None:
    session = obedient.add("exited", session="0000000001" + AWAY, exit_code="3", ports='{"80/tcp": 4000}', runtime="x")
    told = client.inspect(session)
    assert (told.status, told.state, told.exit_code, told.stale) == (False, "exited", 3, True)
    assert (told.runtime, told.ports) == ("x", {"80/tcp": 4000})
    assert AWAY in str(told.trouble)
    assert not told.figures
    with pytest.raises(NotFound, match="no record"):
        client.inspect("0000000002" + AWAY)


def test_drain(client: Client, cloud: FakeCloud) -> None:
    answer = client.drain(cloud.cloud)
    assert (answer.cloud, answer.draining, answer.sessions) == (cloud.cloud, True, 0)
    assert client.drain(cloud.cloud, draining=False).draining is False
    told = [{**heard.fields, "id": "R"} for heard in cloud.heard]
    assert told == [{"id": "R", "op": "drain", "cloud": cloud.cloud, "draining": how} for how in (True, False)]
    with pytest.raises(NoCloud, match=f"node {AWAY} is offline, and only it can answer this"):
        client.drain(AWAY)
    with pytest.raises(ValueError, match="not a node id"):
        client.drain("host")
    with pytest.raises(ValueError, match="needs its id"):
        build_request("drain", {"draining": True}, "r")


def test_clouds_that_are_away_are_known(client: Client, cloud: FakeCloud, obedient: Obedient) -> None:
    now = time.time()
    rank = Heartbeat(cloud.cloud, 0.5, now, 0, "i1", "2.0.0", "here", "script", 1.0)
    cloud.redis.set(cloud.names.node_key(cloud.cloud), encode(rank), px=2000)
    cloud.redis.zadd(cloud.names.nodes_key, {AWAY: now - 100, "e" * 10: now - 50})
    session = obedient.add(session="0000000001" + AWAY, host="far")
    cloud.redis.sadd(cloud.names.node_sessions_key(AWAY), session)
    here, away, nameless = client.known_nodes()
    assert [known.id for known in (here, away, nameless)] == [cloud.cloud, AWAY, "e" * 10]
    assert here.heartbeat == rank
    assert 1.0 <= here.silent < 3.0, "what is left of three heartbeats says how old it is, whatever the cloud's clock"
    assert (away.heartbeat, away.sessions, away.host) == (None, 1, "far")
    assert 95 < away.silent < 160
    assert (nameless.sessions, nameless.host) == (0, "")


def test_there_may_be_no_clouds(client: Client) -> None:
    assert client.known_nodes() == []


def test_it_looks_when_something_happens_and_now_and_then(client: Client, cloud: FakeCloud) -> None:
    looks: list[float] = []
    watched = client.watch(lambda: looks.append(time.monotonic()), every=60.0)
    next(watched)
    threading.Timer(0.1, lambda: cloud.redis.xadd(cloud.names.events_key, {"event": "x"})).start()
    cloud.redis.xadd(cloud.names.events_key, {"event": b'{"event": "cloud.up", "cloud": "c", "time": 1.5}'})
    next(watched)
    assert looks[1] - looks[0] < 30
    for _ in client.watch(lambda: looks.append(time.monotonic()), every=0.3, timeout=1.0):
        pass
    assert len(looks) >= 4


def test_it_goes_on_over_a_restart_of_redis(own_redis: RedisServer) -> None:
    news: list[RedisUnavailable | None] = []
    seen: list[int] = []
    with Client(own_redis.url) as client, redis.Redis.from_url(own_redis.url, protocol=2) as server:

        def follow() -> None:
            for count in client.watch(lambda: int(client.known_nodes() != []), every=0.3, on_loss=news.append):
                seen.append(count)
                if count:
                    return

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        wait_until(lambda: seen)
        own_redis.stop()
        wait_until(lambda: news, 20)
        own_redis.start()
        server.zadd(Keys().nodes_key, {AWAY: 1})
        thread.join(20)
        assert not thread.is_alive()
    assert isinstance(news[0], RedisUnavailable)
    assert news[1:] == [None]


def test_the_end_of_its_time_comes_also_while_redis_is_away(own_redis: RedisServer) -> None:
    with Client(own_redis.url) as client:
        watched: Iterator[Any] = client.watch(client.known_nodes, every=0.2, timeout=1.5)
        next(watched)
        own_redis.stop()
        with pytest.raises(RedisUnavailable):
            for _ in watched:
                pass
