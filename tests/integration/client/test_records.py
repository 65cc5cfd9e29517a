"""Listing sessions while others come and go."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest
import redis
from msgspec import UNSET

from pycloud.client import Client
from pycloud.protocol.keys import Keys
from tests.support.redis_server import RedisServer

Record = Callable[..., list[str]]


@pytest.fixture
def names() -> Keys:
    return Keys(f"test.{secrets.token_hex(4)}")


@pytest.fixture
def client(each_redis: RedisServer, names: Keys) -> Iterator[Client]:
    with Client(each_redis.url, namespace=names.namespace) as client:
        yield client


@pytest.fixture
def server(each_redis: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(each_redis.url, protocol=2) as server:
        yield server


@pytest.fixture
def record(server: redis.Redis, names: Keys) -> Record:
    """Puts so many sessions on record; ``created`` of a number says when that one was."""

    def put(count: int, created: Callable[[int], float]) -> list[str]:
        ids = [f"{number:010x}cccccccccc" for number in range(count)]
        with server.pipeline() as pipeline:
            for number, session in enumerate(ids):
                pipeline.zadd(names.sessions_key, {session: created(number)})
                pipeline.hset(names.session_key(session), mapping={"cloud": "cccccccccc", "state": "running"})
            pipeline.execute()
        return ids

    return put


def test_who_lives_all_the_time_is_listed_though_others_end_meanwhile(
    client: Client, server: redis.Redis, names: Keys, record: Record
) -> None:
    ids, listed = record(3000, float), []
    for session in client.session_ids():
        listed.append(session)
        if len(listed) == 100:
            server.zrem(names.sessions_key, *ids[:400])
    assert set(ids[400:]) <= set(listed)
    assert listed == sorted(set(listed))


def test_sessions_of_the_same_moment_are_listed_page_by_page(
    client: Client, server: redis.Redis, names: Keys, record: Record
) -> None:
    ids, listed = record(1700, lambda _number: 1795471920.4000001), []
    for row in client.sessions():
        listed.append(row.id)
        if len(listed) == 600:
            server.zrem(names.sessions_key, *ids[:400])
    assert listed == ids


def test_what_is_no_utf_8_in_a_record_is_shown_as_such(
    client: Client, server: redis.Redis, names: Keys, record: Record
) -> None:
    (session,) = record(1, float)
    server.hset(names.session_key(session), mapping={"reason": b"\xffgone", "host": "grün", "name": ""})

    (row,) = client.sessions()
    assert (row.reason, row.host, row.name) == ("\ufffdgone", "grün", UNSET)
