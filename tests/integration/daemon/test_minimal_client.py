"""The minimal client of docs/protocol.md, as it stands there: on a real daemon, and where the first publish is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.daemon import ROOT, Daemon
from tests.support.fake_node import FakeCloud, silent
from tests.support.redis_server import RedisServer

(CODE,) = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.fixture
def send() -> Callable[..., dict[str, Any]]:
    names: dict[str, Any] = {}
    exec(CODE, names)
    loaded: Callable[..., dict[str, Any]] = names["send"]
    return loaded


@pytest.fixture
def server(own_redis: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_redis.url) as server:
        yield server


def test_it_is_short() -> None:
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 20


def test_a_session_from_create_to_remove(
    send: Callable[..., dict[str, Any]], server: redis.Redis, own_redis: RedisServer, tmp_path: Path
) -> None:
    with Daemon(tmp_path / "cloud", own_redis.url) as daemon:
        created = send(server, "create", script="exec sleep 60")
        assert (created["cloud"], created["state"]) == (daemon.cloud, "running")
        assert send(server, "status", session=created["id"])["status"] is True
        assert send(server, "remove", session=created["id"])["status"] is True
        assert send(server, "create", script="")["error"]["code"] == "bad_request"
        assert daemon.sessions() == {}


def test_a_request_without_a_response_is_published_again_byte_for_byte(
    send: Callable[..., dict[str, Any]], server: redis.Redis, own_redis: RedisServer
) -> None:
    with FakeCloud(own_redis.url, lambda _heard, before: {"id": "s"} if before else None) as cloud:
        assert send(server, "status", session="s") == {"id": "s"}
    first, second = cloud.heard
    assert first.payload == second.payload
    assert 0.9 < second.at - first.at < 5


def test_it_gives_up_at_its_timeout(
    send: Callable[..., dict[str, Any]], server: redis.Redis, own_redis: RedisServer
) -> None:
    with FakeCloud(own_redis.url, silent), pytest.raises(TimeoutError, match="may still be carried out"):
        send(server, "status", timeout=0.3, session="s")
