"""An empty Redis of each kind, and four clouds that share it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.support.redis_server import RedisServer
from tests.support.store_nodes import Shared, share


@pytest.fixture
def client(each_redis: RedisServer) -> Iterator[redis.Redis]:
    """An empty Redis."""
    with redis.Redis.from_url(each_redis.url, protocol=2) as client:
        client.flushall()
        yield client


@pytest.fixture
def clouds(client: redis.Redis) -> dict[str, Shared]:
    """Four clouds."""
    return share(client)
