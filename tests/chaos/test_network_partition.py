"""A cloud that is cut off from Redis for a while, its socket standing: what it does when it is back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.proxy import Cut, Proxy
from tests.support.daemon import Daemon
from tests.support.expired_claim import leave_claimed
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
KEYS = "{year4000.pycloud}:"
RequesterOn = Callable[[RedisServer], Requester]


@pytest.fixture
def proxy(own_redis: RedisServer) -> Iterator[Proxy]:
    with Proxy(own_redis.port) as made:
        yield made


def told(requester: Requester, event: bytes) -> list[bytes]:
    """What was said of that kind."""
    return [fields[b"event"] for _id, fields in requester.redis.xrange(KEYS + "events") if event in fields[b"event"]]


def test_it_keeps_its_sessions_and_removes_what_it_started_for_a_claim_that_it_lost(
    own_redis: RedisServer, proxy: Proxy, tmp_path: Path, requester_on: RequesterOn
) -> None:
    requester = requester_on(own_redis)
    with Daemon(tmp_path / "cut", proxy.url) as cut:
        stays = requester.create(SLEEP)["id"]
        keeper = cut.keeper_pid
        os.kill(keeper, signal.SIGSTOP)
        try:
            requester.publish("create", {"id": "lost", "script": SLEEP})
            # It tells of a start once it has heard that the claim is its own, and has asked the keeper.
            wait_until(lambda: len(told(requester, b"session.starting")) == 2)
            proxy.cut(Cut.BOTH)
            with Daemon(tmp_path / "other", own_redis.url) as other:
                answer = requester.answers("create", "lost", 1, 30)[0]
                os.kill(keeper, signal.SIGCONT)
                wait_until(lambda: len(cut.sessions()) == 2, 20, "it starts what it had claimed, and cannot say so")
                requester.redis.delete(KEYS + "session:" + stays)
                proxy.heal()
                wait_until(lambda: list(cut.sessions()) == [stays], 30, cut.log)
                wait_until(lambda: requester.redis.exists(KEYS + "session:" + stays), 20, "announced again")
                assert list(other.sessions()) == [json.loads(answer)["id"]]
        finally:
            os.kill(keeper, signal.SIGCONT)
        wait_until(lambda: "Redis is back" in cut.log(), 20, "it tells Redis what runs before it hears again")
        assert requester.answers("create", "lost") == [answer], "nobody is told of its copy"
        assert requester.status(stays)["cloud"] == cut.cloud


def test_what_it_missed_is_looked_up_at_once(own_redis: RedisServer, tmp_path: Path, requester_on: RequesterOn) -> None:
    """Its own rounds come far too seldom."""
    requester, payload = requester_on(own_redis), json.dumps({"id": "lapsed", "script": SLEEP}).encode()
    with Daemon(tmp_path / "cloud", own_redis.url, heartbeat=60) as daemon:
        wish = {"session": requester.create(SLEEP)["id"], "id": "wish", "digest": "d"}
        requester.redis.sadd(KEYS + "wishes:" + daemon.cloud, json.dumps(wish))
        leave_claimed(requester.redis, "create", "lapsed", payload)
        requester.redis.client_kill_filter(_type="pubsub")
        key = KEYS + "request:create:lapsed"
        answer = wait_until(lambda: requester.redis.hget(key, "response"), 20, daemon.log)
        wait_until(lambda: list(daemon.sessions()) == [json.loads(answer)["id"]], 20, daemon.log)
