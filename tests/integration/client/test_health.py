"""What the client finds out of Redis and the nodes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from pycloud.client import Client, RedisUnavailable
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import encode
from tests.support.heartbeats import heartbeat_of
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer


@pytest.fixture
def names() -> Keys:
    return Keys(f"test.{secrets.token_hex(4)}")


@pytest.fixture
def server(each_redis: RedisServer) -> Iterator[Any]:
    with redis.Redis.from_url(each_redis.url, protocol=2) as server:
        yield server


def examiner(server: RedisServer, names: Keys, user: str = "") -> Client:
    return Client(server.url.replace("://", f"://{user}"), namespace=names.namespace)


def test_a_server_as_it_comes(each_redis: RedisServer, names: Keys, server: Any) -> None:
    keys = server.dbsize()
    with examiner(each_redis, names) as client:
        facts = client.diagnose()

    assert facts.redis.info["redis_version"] == server.info()["redis_version"]
    assert facts.redis.pubsub_limits == (32 << 20, 8 << 20, 60)
    assert (facts.redis.denied_client_commands, facts.redis.denied_node_commands) == ((), ())
    assert abs(facts.redis.clock_offset) < 5
    assert 0 < facts.redis.latency < 5
    assert (facts.nodes, facts.received_heartbeats) == ((), ())
    assert server.dbsize() == keys, "nothing is changed"


def test_rights(each_redis: RedisServer, names: Keys, server: Any) -> None:
    server.execute_command(
        *("ACL", "SETUSER", "reader", "reset", "on", ">pw", "~*", "&*", "-@all"),
        *("+@read", "+ping", "+info", "+multi", "+discard", "+time", "+publish"),
    )
    with examiner(each_redis, names, "reader:pw@") as client:
        facts = client.diagnose()

    assert facts.redis.denied_client_commands == ()
    denied = set(facts.redis.denied_node_commands or ())
    assert {"SET", "HSET", "ZADD", "XADD", "EVAL"} <= denied
    assert not {"GET", "HGET", "SMEMBERS"} & denied
    assert facts.redis.pubsub_limits is None


def test_keys_and_channels_of_another_namespace(each_redis: RedisServer, names: Keys, server: Any) -> None:
    server.execute_command(
        *("ACL", "SETUSER", "other", "reset", "on", ">pw", "~{other}:*", "&other.*", "+@all"),
    )
    with examiner(each_redis, names, "other:pw@") as client:
        facts = client.diagnose()

    assert facts.nodes is None
    assert {"PUBLISH", "HGETALL", "XREAD"} <= set(facts.redis.denied_client_commands or ())
    assert facts.received_heartbeats is None


def test_clouds(each_redis: RedisServer, names: Keys, server: Any) -> None:
    now = time.time()
    server.zadd(names.nodes_key, {"aaaaaaaaaa": now, "bbbbbbbbbb": now - 100})
    server.set(names.node_key("aaaaaaaaaa"), encode(heartbeat_of("aaaaaaaaaa", time=now, heartbeat=0.1)))
    server.sadd(names.node_sessions_key("bbbbbbbbbb"), "s1", "s2")
    with examiner(each_redis, names) as client:
        facts = client.diagnose()

    away, here = facts.nodes or ()
    assert (away.id, away.heartbeat, away.sessions) == ("bbbbbbbbbb", None, 2)
    assert 95 < away.seconds_silent < 160
    assert here.heartbeat is not None
    assert facts.received_heartbeats == ()


def test_an_unreachable_redis() -> None:
    with Client(f"redis://127.0.0.1:{free_port()}") as client, pytest.raises(RedisUnavailable):
        client.diagnose()
