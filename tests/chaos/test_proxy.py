"""The proxy lets everything through, swallows or holds back one direction, and heals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.chaos.proxy import Cut, Proxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until


@pytest.fixture
def proxy(shared_redis: RedisServer) -> Iterator[Proxy]:
    with Proxy(shared_redis.port) as made:
        yield made


def through(proxy: Proxy, patience: float = 5.0) -> redis.Redis:
    return redis.Redis.from_url(proxy.url, protocol=2, socket_timeout=patience)


def test_everything_gets_through(proxy: Proxy) -> None:
    with through(proxy) as client:
        client.set("big", b"x" * 3_000_000)
        assert client.get("big") == b"x" * 3_000_000


@pytest.mark.parametrize(("cut", "arrives"), [(Cut.TO_SERVER, None), (Cut.TO_CLIENT, b"1"), (Cut.BOTH, None)])
def test_a_cut_swallows_one_direction(proxy: Proxy, shared_redis: RedisServer, cut: Cut, arrives: bytes | None) -> None:
    with through(proxy, 0.2) as client, redis.Redis.from_url(shared_redis.url, protocol=2) as direct:
        direct.delete("key")
        client.ping()
        proxy.cut(cut)
        with pytest.raises(redis.TimeoutError):
            client.set("key", 1)
        assert direct.get("key") == arrives
        proxy.heal()
        assert wait_until(lambda: works(client)), "connections that lost bytes are closed, new ones work"


def works(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False


def test_what_is_held_back_comes_late(proxy: Proxy) -> None:
    with through(proxy, 0.2) as client, through(proxy) as publisher, client.pubsub() as pubsub:
        pubsub.subscribe("news")
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        publisher.ping()
        proxy.cut(Cut.TO_CLIENT, hold=True)
        with redis.Redis.from_url(f"redis://127.0.0.1:{proxy._target}", protocol=2) as direct:
            assert direct.publish("news", "late") == 1
        assert pubsub.get_message(timeout=0.1) is None
        proxy.heal()
        assert pubsub.get_message(timeout=5)["data"] == b"late"
