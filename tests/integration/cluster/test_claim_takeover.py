"""What a cloud had claimed when it died, and Redis was started again before anybody could take it over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.daemon import Daemon
from tests.support.expired_claim import leave_claimed
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
KEYS = "{year4000.pycloud}:"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


def answer(requester: Requester, op: str, request_id: str) -> dict[str, Any]:
    """The one answer to a request."""
    (payload,) = requester.answers(op, request_id, timeout=30)
    said: dict[str, Any] = json.loads(payload)
    return said


def start_without_fault(daemon: Daemon) -> None:
    """Start a daemon that died at a fault point, and will not do so again."""
    del daemon.env["PYCLOUD_FAULT"]
    daemon.start()


def test_a_create_is_finished_by_its_claimant_though_another_cloud_comes_first(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    loaded = daemon_on(own_redis, load_weight=1000)
    loaded.env["PYCLOUD_FAULT"] = "create.claimed"
    loaded.start()
    requester_on(own_redis).publish("create", {"id": "r", "script": SLEEP})
    wait_until(lambda: not loaded.running, 20)
    own_redis.restart()
    requester = requester_on(own_redis)
    free = daemon_on(own_redis, load_weight=0).start()
    start_without_fault(loaded)
    assert answer(requester, "create", "r")["cloud"] == loaded.cloud
    assert (len(loaded.sessions()), len(free.sessions())) == (1, 0)


def test_a_claimant_that_is_draining_by_now_gives_its_create_to_another(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    claimant, requester = daemon_on(own_redis), requester_on(own_redis)
    claimant.env["PYCLOUD_FAULT"] = "create.claimed"
    claimant.start()
    requester.publish("create", {"id": "r", "script": SLEEP})
    wait_until(lambda: not claimant.running, 20)
    own_redis.restart()
    requester = requester_on(own_redis)
    other = daemon_on(own_redis).start()
    claimant.options["draining"] = True
    start_without_fault(claimant)
    assert answer(requester, "create", "r")["cloud"] == other.cloud
    assert (len(claimant.sessions()), len(other.sessions())) == (0, 1)


def test_a_remove_is_finished_by_the_owner_though_another_cloud_had_claimed_it(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    owner = daemon_on(own_redis).start()
    requester = requester_on(own_redis)
    requester.publish("create", {"id": "r", "script": SLEEP})
    session = answer(requester, "create", "r")["id"]
    owner.kill()
    speaker = daemon_on(own_redis)
    speaker.env["PYCLOUD_FAULT"] = "failover.claimed"
    speaker.start()

    def speaker_dies_over_it() -> bool:
        requester.publish("remove", {"id": "gone", "session": session})
        return not speaker.running

    wait_until(speaker_dies_over_it, 20)
    own_redis.restart()
    requester = requester_on(own_redis)
    owner.start()
    start_without_fault(speaker)
    assert answer(requester, "remove", "gone")["status"] is True
    assert owner.sessions() == {}


def test_a_status_that_another_cloud_had_claimed_is_finished_by_the_owner(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    """That one died over it, and the owner is back: nobody else finishes it, and it is not answered time and again."""
    owner, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    requester.publish("create", {"id": "r", "script": SLEEP})
    payload = json.dumps({"id": "s", "session": answer(requester, "create", "r")["id"]}).encode()
    leave_claimed(requester.redis, "status", "s", payload)
    said = answer(requester, "status", "s")
    assert (said["cloud"], said["status"]) == (owner.cloud, True)
    wait_until(lambda: not requester.redis.zcard(KEYS + "claims"), 10, "it is done")
    assert len(requester.answers("status", "s")) == 1
