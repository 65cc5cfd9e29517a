"""What a cloud says of itself in Redis: its rank, its events, and no sessions that it does not have."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
KEYS = "{year4000.pycloud}:"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


def rank(requester: Requester, daemon: Daemon) -> dict[str, Any]:
    """What the cloud last said of itself."""
    fields: dict[str, Any] = json.loads(requester.redis.get(KEYS + "cloud:" + daemon.cloud) or b"{}")
    return fields


def events(requester: Requester, daemon: Daemon) -> list[dict[str, Any]]:
    """All that this cloud has told so far."""
    told = [json.loads(fields[b"event"]) for _id, fields in requester.redis.xrange(KEYS + "events")]
    return [event for event in told if event["cloud"] == daemon.cloud]


def test_a_rank_counts_sessions_that_live_and_that_start(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon = daemon_on(own_redis, session_weight=3, load_weight=0, heartbeat=0.2).start()
    requester = requester_on(own_redis)
    for _ in range(4):
        requester.create(SLEEP)
    wait_until(lambda: rank(requester, daemon).get("sessions") == 4)
    assert rank(requester, daemon)["score"] == 12
    os.kill(daemon.keeper_pid, signal.SIGSTOP)
    try:
        requester.publish("create", {"id": "starts", "script": SLEEP})
        wait_until(lambda: rank(requester, daemon).get("sessions") == 5, message="it starts")
        assert len(daemon.sessions()) == 4
    finally:
        os.kill(daemon.keeper_pid, signal.SIGCONT)
    assert requester.answers("create", "starts")
    wait_until(lambda: rank(requester, daemon).get("score") == 15)


def test_events_tell_the_life_of_a_cloud(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    assert requester.create("#!/no/such/interpreter\n")["error"]["code"] == "start_failed"
    wait_until(lambda: len(events(requester, daemon)) == 3)
    daemon.stop()
    daemon.options["draining"] = True
    daemon.start()
    daemon.stop()
    told = events(requester, daemon)
    names = ["cloud.up", "session.starting", "session.failed", "cloud.down", "cloud.draining", "cloud.down"]
    assert [event["event"] for event in told] == names
    assert "/no/such/interpreter" in told[2]["reason"]
    times = [event["time"] for event in told]
    assert times == sorted(times)


def test_a_session_that_only_redis_knows_is_taken_out(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    """It was removed while Redis was away, or came back with an old snapshot."""
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    session, ghost, redis = requester.create(SLEEP)["id"], "0123456789" + daemon.cloud, requester.redis
    redis.hset(KEYS + "session:" + ghost, mapping={"cloud": daemon.cloud, "state": "running"})
    redis.zadd(KEYS + "sessions", {ghost: 1})
    redis.sadd(KEYS + "sessions:" + daemon.cloud, ghost)
    redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_until(lambda: redis.zrange(KEYS + "sessions", 0, -1) == [session.encode()], 20)
    wait_until(lambda: redis.smembers(KEYS + "sessions:" + daemon.cloud) == {session.encode()})
    assert not redis.exists(KEYS + "session:" + ghost)


def test_an_owner_answers_a_status_without_asking_redis(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon_on(own_redis).start()
    requester = requester_on(own_redis)
    session = requester.create(SLEEP)["id"]

    def calls() -> dict[str, int]:
        counted = requester.redis.info("commandstats")
        asking = ("evalsha", "eval", "hget", "hmget", "hgetall", "get", "exists", "smembers")
        return {name: counted.get(f"cmdstat_{name}", {}).get("calls", 0) for name in asking}

    def cost(statuses: int) -> int:
        before = sum(calls().values())
        for _ in range(statuses):
            assert requester.status(session)["status"] is True
        return sum(calls().values()) - before

    # What goes on beside (heartbeats and rounds) does not grow with the number of statuses.
    assert cost(300) < 100


def test_a_lost_session_is_what_it_is_when_its_cloud_is_back(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    """Also one whose daemon died before it could note that its requester was told."""
    owner, requester = daemon_on(own_redis), requester_on(own_redis)
    owner.env["PYCLOUD_FAULT"] = "create.committed"
    owner.start()
    session = requester.create(SLEEP)["id"]
    wait_until(lambda: not owner.running)
    daemon_on(own_redis, lost_after=1, heartbeat=0.3).start()

    def state() -> bytes | None:
        return requester.redis.hget(KEYS + "session:" + session, "state")

    wait_until(lambda: state() == b"lost", 30)
    del owner.env["PYCLOUD_FAULT"]
    owner.start()
    wait_until(lambda: state() == b"running", message=owner.log)
    assert requester.status(session)["state"] == "running"


def test_a_lost_session_is_what_it_is_when_its_cloud_wakes_up(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    """The connection that it calls Redis on stood all the time: only its own silence tells it that it was judged."""
    owner, requester = daemon_on(own_redis, heartbeat=0.3).start(), requester_on(own_redis)
    session = requester.create(SLEEP)["id"]
    daemon_on(own_redis, lost_after=1, heartbeat=0.3).start()

    def state() -> bytes | None:
        return requester.redis.hget(KEYS + "session:" + session, "state")

    owner.send(signal.SIGSTOP)
    wait_until(lambda: state() == b"lost", 30)
    owner.send(signal.SIGCONT)
    wait_until(lambda: state() == b"running", message=owner.log)
    assert "Redis is lost (calls" not in owner.log()
