"""A daemon that starts while Redis cuts off its subscribers again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import redis

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

CHANNEL = "year4000.pycloud.create"
DaemonOn = Callable[..., Daemon]


def test_it_says_that_it_is_ready_though_it_was_just_cut_off(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: Callable[[RedisServer], Requester]
) -> None:
    over = threading.Event()

    def cut_off() -> None:
        with redis.Redis.from_url(own_redis.url) as client:
            while not over.wait(0.002):
                client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    cutting = threading.Thread(target=cut_off)
    daemon = daemon_on(own_redis)
    cutting.start()
    try:
        daemon.launch()
        wait_until(lambda: "Redis is lost (subscription" in daemon.log(), 30, daemon.log)
        wait_until(lambda: " ready: " in daemon.log() or daemon.log().count("Redis is back") > 20, 30, daemon.log)
    finally:
        over.set()
        cutting.join()
    wait_until(lambda: " ready: " in daemon.log(), 30, daemon.log)
    requester = requester_on(own_redis)
    wait_until(lambda: requester.redis.pubsub_numsub(CHANNEL)[0][1] == 1)
    assert requester.create("exec sleep 100")["state"] == "running"
