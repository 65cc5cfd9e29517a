"""Requests on a cloud's direct channel: the same promises as on the channels that all clouds hear."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester

SLEEP = "exec sleep 1000"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


def said(payload: bytes) -> dict[str, Any]:
    """What an answer says."""
    fields: dict[str, Any] = json.loads(payload)
    return fields


@pytest.fixture
def us(shared_redis: RedisServer, daemon_on: DaemonOn) -> Daemon:
    """A cloud in the US."""
    return daemon_on(shared_redis, labels="region=us").start()


@pytest.mark.parametrize("wish", [{"where": {"region": "eu"}}, {"cloud": "0" * 10}])
def test_a_direct_create_does_not_get_what_it_did_not_ask_for(
    us: Daemon, shared_redis: RedisServer, requester_on: RequesterOn, wish: dict[str, object]
) -> None:
    requester = requester_on(shared_redis)
    request = {"op": "create", "id": f"d{sorted(wish)}", "script": SLEEP, **wish}
    requester.publish(f"cloud.{us.cloud}", request)
    (answer,) = requester.answers("create", str(request["id"]))
    assert said(answer)["error"]["code"] == "no_match"
    assert us.sessions() == {}


@pytest.mark.parametrize("op", ["create", "remove"])
def test_a_request_repeated_by_broadcast_is_answered_again_at_once(
    us: Daemon, shared_redis: RedisServer, requester_on: RequesterOn, op: str
) -> None:
    requester = requester_on(shared_redis)
    session = requester.create(SLEEP)["id"]
    request = {"op": op, "id": f"repeated {op}"} | ({"script": SLEEP} if op == "create" else {"session": session})
    requester.publish(f"cloud.{us.cloud}", request)
    first = requester.answers(op, str(request["id"]), 1)
    requester.publish(op, request)
    both = requester.answers(op, str(request["id"]), 2)
    assert len(both) == 2
    assert set(both) == set(first)
