"""A subscription that is dead although its socket stands: nothing comes in on it any more, and nobody closes it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path

from tests.chaos.proxy import Cut, Proxy
from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until


def test_a_cloud_that_does_not_hear_itself_subscribes_anew(
    own_redis: RedisServer, tmp_path: Path, requester_on: Callable[[RedisServer], Requester]
) -> None:
    requester = requester_on(own_redis)
    with Proxy(own_redis.port) as proxy, Daemon(tmp_path / "cloud", proxy.url, heartbeat=0.3) as daemon:
        session = requester.create("exec sleep 1000")["id"]
        proxy.cut(Cut.TO_CLIENT)
        wait_until(lambda: proxy.spoiled == 2, 20, "both connections of the daemon have lost bytes")
        proxy.heal(close=False)

        def ask() -> list[bytes]:
            request_id = secrets.token_hex(4)
            requester.publish("status", {"id": request_id, "session": session})
            return requester.answers("status", request_id, 1, 0.3)

        answer = json.loads(wait_until(ask, 30, daemon.log)[0])
        assert (answer["status"], answer["cloud"]) == (True, daemon.cloud)
        assert "own heartbeat not received" in daemon.log() or "subscription" in daemon.log()
        assert list(daemon.sessions()) == [session]
