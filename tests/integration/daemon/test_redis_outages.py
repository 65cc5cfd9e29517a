"""Redis killed, emptied, frozen, or cutting us off: sessions do not care, and the cloud is back by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import redis

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
LOST, BACK = "Redis is lost", "Redis is back"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


def asked_again(requester: Requester, session: str, patience: float = 20.0) -> dict[str, object]:
    """The answer to a status that is published again until one comes."""
    request_id = f"again{time.monotonic()}"

    def ask() -> list[bytes]:
        requester.publish("status", {"id": request_id, "session": session})
        return requester.answers("status", request_id, 1, 0.2)

    answers = wait_until(ask, patience, "the cloud answers again")
    answer: dict[str, object] = json.loads(answers[0])
    return answer


def test_redis_restarted_empty(own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    request = {"id": "first", "script": SLEEP}
    requester.publish("create", request)
    answer = requester.answers("create", "first")[0]
    session = json.loads(answer)["id"]
    own_redis.stop()
    wait_until(lambda: LOST in daemon.log(), 20)
    assert session in daemon.sessions()
    own_redis.start(keep_data=False)
    wait_until(lambda: BACK in daemon.log(), 20)

    requester = requester_on(own_redis)
    wait_until(lambda: requester.redis.exists("{year4000.pycloud}:session:" + session), 20, "announced again")
    assert asked_again(requester, session)["status"] is True
    requester.publish("create", request)
    assert requester.answers("create", "first") == [answer], "a repeat makes no twin"
    assert list(daemon.sessions()) == [session]
    assert daemon.log().count(LOST) == 1
    assert daemon.log().count(BACK) == 1
    assert "Traceback" not in daemon.log()


def test_redis_emptied_while_it_runs(own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon, requester = daemon_on(own_redis, heartbeat=0.3).start(), requester_on(own_redis)
    request = {"id": "first", "script": SLEEP}
    requester.publish("create", request)
    answer = requester.answers("create", "first")[0]
    requester.redis.flushall()
    key = "{year4000.pycloud}:session:" + json.loads(answer)["id"]
    wait_until(lambda: requester.redis.exists(key), 20, daemon.log)
    wait_until(lambda: requester.redis.exists("{year4000.pycloud}:request:create:first"), 20)
    requester.publish("create", request)
    assert requester.answers("create", "first", 2) == [answer, answer], "a repeat makes no twin"
    assert len(daemon.sessions()) == 1


def test_a_session_that_ends_while_redis_is_away(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path
) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    go = tmp_path / "go"
    session = requester.create(f"until [ -e {go} ]; do sleep 0.02; done; exit 9")["id"]
    own_redis.stop()
    wait_until(lambda: LOST in daemon.log(), 20)
    go.touch()
    wait_until(lambda: session not in daemon.sessions())
    own_redis.start()
    requester = requester_on(own_redis)
    assert asked_again(requester, session)["exit_code"] == 9
    key = "{year4000.pycloud}:session:" + session
    wait_until(lambda: requester.redis.hget(key, "state") == b"exited", 20)


def test_a_frozen_redis(own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    session = requester.create(SLEEP)["id"]
    own_redis.freeze()
    wait_until(lambda: LOST in daemon.log(), 30, "a server that says nothing counts as lost")
    own_redis.thaw()
    wait_until(lambda: BACK in daemon.log(), 30)
    assert asked_again(requester, session)["status"] is True
    created = requester.create(SLEEP, timeout=20)
    assert sorted(daemon.sessions()) == sorted([session, created["id"]])
    assert daemon.log().count(LOST) == 1


def test_a_create_in_the_middle_of_which_redis_freezes_makes_one_session(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    for number in range(50):
        requester.publish("create", {"id": f"r{number}", "script": SLEEP})
    own_redis.freeze()
    wait_until(lambda: LOST in daemon.log(), 30)
    own_redis.thaw()
    wait_until(lambda: BACK in daemon.log(), 30)
    requester = requester_on(own_redis)
    answers: set[bytes] = set()
    for number in range(50):

        def ask(number: int = number) -> list[bytes]:
            requester.publish("create", {"id": f"r{number}", "script": SLEEP})
            return requester.answers("create", f"r{number}", 1, 0.5)

        answers |= set(wait_until(ask, 30))
    assert len(answers) == 50
    told = sorted(json.loads(answer)["id"] for answer in answers)
    wait_until(lambda: sorted(daemon.sessions()) == told, 20, "each answered create is one session, and no more")


def test_subscribers_cut_off(own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    session = requester.create(SLEEP)["id"]
    channel = "year4000.pycloud.status"
    for _ in range(3):
        with redis.Redis.from_url(own_redis.url) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            wait_until(lambda client=client: dict(client.pubsub_numsub(channel))[channel.encode()], 10)
        again = requester_on(own_redis)
        assert asked_again(again, session)["status"] is True
    assert "Traceback" not in daemon.log()


def test_a_payload_that_makes_redis_cut_us_off(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    session = requester.create(SLEEP)["id"]
    with redis.Redis.from_url(own_redis.url) as client:

        def subscriber() -> str:
            listed = client.client_list(_type="pubsub")
            return str([each["id"] for each in listed if int(each["sub"]) > 3])

        def cut_off() -> bool:
            """A server that is quick enough may deliver even that."""
            client.publish("year4000.pycloud.create", b"x" * (33 << 20))
            wait_until(lambda: subscriber() != "[]", 10, "subscribed, still or again")
            return subscriber() != before

        before = subscriber()
        wait_until(cut_off, 30, "subscribed again, on another connection")
    assert asked_again(requester, session)["status"] is True
    assert "Traceback" not in daemon.log()


def test_the_daemon_waits_for_a_redis_that_comes_later(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    own_redis.stop()
    daemon = daemon_on(own_redis).launch()
    wait_until(lambda: LOST in daemon.log(), 20, daemon.log)
    assert daemon.running
    own_redis.start()
    wait_until(lambda: " ready: " in daemon.log(), 30, daemon.log)
    assert requester_on(own_redis).create("exit 0")["state"] == "running"


def test_a_stop_while_redis_is_away(own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon, requester = daemon_on(own_redis).start(), requester_on(own_redis)
    session = requester.create(SLEEP)["id"]
    own_redis.stop()
    wait_until(lambda: LOST in daemon.log(), 20)
    assert daemon.stop() == 0
    assert session in daemon.sessions()
