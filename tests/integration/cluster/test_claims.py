"""What clouds do about claims that they hold for long, lose, or give back: with keepers that are frozen meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pycloud.store.requests import LEASE, RETRYABLE_ERROR_TTL
from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
KEYS = "{year4000.pycloud}:"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


@contextmanager
def slow_create(daemon: Daemon, requester: Requester) -> Iterator[None]:
    """Create ``slow`` is claimed by this cloud, the only one so far, and does not start within the block."""
    os.kill(daemon.keeper_pid, signal.SIGSTOP)
    try:
        requester.publish("create", {"id": "slow", "script": SLEEP})
        wait_until(lambda: requester.redis.zcard(KEYS + "claims") == 1)
        yield
    finally:
        os.kill(daemon.keeper_pid, signal.SIGCONT)


def claim(requester: Requester, request_id: str) -> dict[str, str]:
    """What Redis knows of a create."""
    found = requester.redis.hgetall(KEYS + "request:create:" + request_id)
    return {name.decode(): value.decode() for name, value in found.items()}


def test_a_claim_is_renewed_for_as_long_as_the_work_takes(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    busy, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    with slow_create(busy, requester):
        first = int(claim(requester, "slow")["lease"])
        other = daemon_on(own_redis).start()
        wait_until(lambda: int(claim(requester, "slow")["lease"]) > first + LEASE, 30, "the first lease is long over")
    answers = requester.answers("create", "slow")
    assert [json.loads(answer)["cloud"] for answer in answers] == [busy.cloud]
    assert claim(requester, "slow")["taken"] == "0"
    assert other.sessions() == {}


def test_what_a_frozen_cloud_starts_for_a_claim_that_it_lost_is_removed(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    frozen, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    with slow_create(frozen, requester):
        frozen.send(signal.SIGSTOP)
        other = daemon_on(own_redis).start()
        answer = requester.answers("create", "slow", timeout=30)[0]
        assert json.loads(answer)["cloud"] == other.cloud
    frozen.send(signal.SIGCONT)
    wait_until(lambda: "another node has answered its request" in frozen.log(), 20, frozen.log)
    wait_until(lambda: frozen.sessions() == {}, 20, "it removes its copy")
    wait_until(lambda: list((frozen.data / "work").iterdir()) == [])
    assert requester.answers("create", "slow") == [answer], "it tells nobody of its copy"
    told = json.loads(answer)["id"]
    assert list(other.sessions()) == [told]
    assert requester.redis.zrange(KEYS + "sessions", 0, -1) == [told.encode()]


def test_what_a_dead_cloud_started_is_removed_where_another_has_answered(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    dead, requester = daemon_on(own_redis), requester_on(own_redis)
    dead.env["PYCLOUD_FAULT"] = "create.started"
    dead.start()
    requester.publish("create", {"id": "twice", "script": SLEEP})
    assert dead.process is not None
    assert dead.process.wait(20) == -signal.SIGKILL
    assert len(dead.sessions()) == 1
    other = daemon_on(own_redis).start()
    answer = requester.answers("create", "twice", timeout=30)[0]
    del dead.env["PYCLOUD_FAULT"]
    dead.start()
    wait_until(lambda: dead.sessions() == {}, 20)
    assert requester.answers("create", "twice") == [answer]
    assert list(other.sessions()) == [json.loads(answer)["id"]]


def test_a_claimant_that_finds_itself_full_gives_the_claim_back(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    """Asked directly, all at once, it looks whether it is full before the first of them is under way."""
    small = daemon_on(own_redis, capacity=2).start()
    requester, ids = requester_on(own_redis), [f"r{number}" for number in range(20)]
    with requester.redis.pipeline(transaction=False) as pipe:
        for request_id in ids:
            direct = {"op": "create", "id": request_id, "script": SLEEP}
            pipe.publish(f"year4000.pycloud.cloud.{small.cloud}", json.dumps(direct))
        pipe.execute()
    answers = [json.loads(requester.answers("create", request_id, timeout=30)[0]) for request_id in ids]
    assert Counter(answer.get("error", {}).get("code") for answer in answers) == {None: 2, "no_capacity": 18}
    assert len(small.sessions()) == 2
    taken = [claim(requester, request_id).get("taken", "0") for request_id in ids]
    assert set(taken) == {"0"}, "given back, not left to lapse"


def test_a_draining_cloud_takes_nothing_from_those_who_ask_it_directly(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    draining, requester = daemon_on(own_redis, draining=True).start(), requester_on(own_redis)
    requester.publish(f"cloud.{draining.cloud}", {"op": "create", "id": "r", "script": SLEEP})
    assert json.loads(requester.answers("create", "r")[0])["error"]["code"] == "no_capacity"
    assert draining.sessions() == {}
    until, answered = requester.redis.hmget(KEYS + "request:create:r", "until", "answered")
    assert int(until) - int(answered) == RETRYABLE_ERROR_TTL, "who asks again later is heard again"


def beats(requester: Requester, daemon: Daemon, count: int) -> None:
    """Wait until this cloud's heart has beaten so many times."""
    seen: set[float] = set()

    def beaten() -> bool:
        rank = requester.redis.get(KEYS + "cloud:" + daemon.cloud)
        seen.update([json.loads(rank)["sent"]] if rank else [])
        return len(seen) > count

    wait_until(beaten, 20)


def lose_data(server: RedisServer, awake: Daemon) -> None:
    """Redis comes back empty, and this cloud knows."""
    server.kill()
    server.start(keep_data=False)
    awake.send(signal.SIGCONT)
    wait_until(lambda: "Redis was restarted or replaced" in awake.log() and "Redis is back" in awake.log(), 20)


@pytest.mark.parametrize("repeated", ["never", "before", "after"])
def test_an_empty_redis_makes_no_new_create_of_one_that_was_answered(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, repeated: str
) -> None:
    """Its owner is slower than the others to say so. Who comes second looks only after Redis has forgotten it."""
    daemons, requester = [daemon_on(own_redis, heartbeat=0.3).start() for _ in range(2)], requester_on(own_redis)
    request = {"id": "r", "script": SLEEP}
    requester.publish("create", request)
    answer = json.loads(requester.answers("create", "r")[0])
    owner, other = sorted(daemons, key=lambda daemon: daemon.cloud != answer["cloud"])
    if repeated != "never":
        beats(requester, other, 2)  # it has looked for the first one
    if repeated == "before":
        requester.publish("create", request)
        requester.answers("create", "r", 2)
    for daemon in daemons:
        daemon.send(signal.SIGSTOP)
    lose_data(own_redis, other)
    requester = requester_on(own_redis)
    if repeated == "after":
        requester.publish("create", request)
    beats(requester, other, 2)
    owner.send(signal.SIGCONT)
    wait_until(lambda: requester.redis.exists(KEYS + "request:create:r"), 20)
    beats(requester, owner, 2)
    assert list(owner.sessions()) == [answer["id"]]
    assert other.sessions() == {}, "no twin"
    if repeated == "after":
        assert {json.loads(each)["id"] for each in requester.answers("create", "r", timeout=20)} == {answer["id"]}


def test_direct_creates_repeated_at_once_to_an_empty_redis(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    channel, ids = f"cloud.{daemon.cloud}", [f"r{number}" for number in range(200)]

    def ask_and_hear() -> list[str]:
        for request_id in ids:
            requester.publish(channel, {"op": "create", "id": request_id, "script": SLEEP})
        answers = [requester.answers("create", request_id, timeout=60)[0] for request_id in ids]
        return sorted(json.loads(answer)["id"] for answer in answers)

    told = ask_and_hear()
    own_redis.kill()
    own_redis.start(keep_data=False)
    requester = requester_on(own_redis)
    wait_until(lambda: requester.redis.publish(f"year4000.pycloud.{channel}", b"{}"), 30)
    assert ask_and_hear() == told
    assert sorted(daemon.sessions()) == told, "no twins"


def test_the_three_best_of_four_are_killed_in_one_instant(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    best = [daemon_on(own_redis, load_weight=0).start() for _ in range(3)]
    last, requester = daemon_on(own_redis, load_weight=0).start(), requester_on(own_redis)
    for _ in range(10):
        assert requester.create(SLEEP, cloud=last.cloud)["cloud"] == last.cloud
    rank = KEYS + "cloud:" + last.cloud
    wait_until(lambda: json.loads(requester.redis.get(rank) or b"{}").get("score") == 10)
    for daemon in best:
        daemon.send(signal.SIGKILL)
    for number in range(6):
        requester.publish("create", {"id": f"r{number}", "script": SLEEP})
    answers = [requester.answers("create", f"r{number}", timeout=30) for number in range(6)]
    assert {len(answer) for answer in answers} == {1}, "published once, and none is lost"
    assert {json.loads(answer[0])["cloud"] for answer in answers} == {last.cloud}
