"""Several clouds on one Redis: who takes what, and who speaks for whom."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
KEYS = "{year4000.pycloud}:"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


@pytest.fixture
def three(own_redis: RedisServer, daemon_on: DaemonOn) -> list[Daemon]:
    """Three clouds; one that is silent for 4 s is lost."""
    options = {"lost_after": 4, "stop_grace": 1}
    return [daemon_on(own_redis, **options).start() for _ in range(3)]


@pytest.fixture
def requester(three: list[Daemon], own_redis: RedisServer, requester_on: RequesterOn) -> Requester:
    """A requester of theirs."""
    return requester_on(own_redis)


def owner_of(daemons: list[Daemon], session: str) -> Daemon:
    """The cloud that a session is of."""
    return next(daemon for daemon in daemons if session.endswith(daemon.cloud))


def away(requester: Requester, cloud: Daemon) -> None:
    """Wait until the others count a cloud as away, and speak for it."""

    def spoken_for() -> bool:
        request_id = uuid4().hex
        requester.publish("status", {"id": request_id, "session": "0" * 10 + cloud.cloud})
        return bool(requester.answers("status", request_id, 1, 0.3))

    wait_until(spoken_for, 20)


def test_creates_spread_evenly_and_each_is_answered_once(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    """By sessions alone: no two readings of CPU and memory in use agree."""
    daemons = [daemon_on(own_redis, load_weight=0).start() for _ in range(3)]
    requester = requester_on(own_redis)
    for number in range(300):
        requester.publish("create", {"id": f"r{number}", "script": SLEEP})
    answers = [requester.answers("create", f"r{number}", timeout=60) for number in range(300)]
    assert {len(answer) for answer in answers} == {1}
    sessions = [json.loads(answer[0])["id"] for answer in answers]
    shares = Counter(session[-10:] for session in sessions)
    assert len(shares) == 3
    assert max(shares.values()) <= 100 * 1.05, shares
    running = sorted(session for daemon in daemons for session in daemon.sessions())
    assert running == sorted(sessions)


def test_status_and_remove_are_answered_by_the_owner_alone(three: list[Daemon], requester: Requester) -> None:
    sessions = [requester.create(SLEEP)["id"] for _ in range(12)]
    for number, session in enumerate(sessions):
        for op in ("status", "remove"):
            requester.publish(op, {"id": f"{op}{number}", "session": session})
            answer = json.loads(requester.answers(op, f"{op}{number}")[0])
            assert (answer["status"], answer["cloud"]) == (True, session[-10:])
    for unknown in ("0" * 20, "nonsense", "0" * 10 + three[0].cloud):
        for op in ("status", "remove"):
            requester.publish(op, {"id": op + unknown, "session": unknown})
            assert json.loads(requester.answers(op, op + unknown)[0])["status"] is False
    requester.create("exit 0")
    heard = {channel: len(answers) for channel, answers in requester._heard.items()}
    assert set(heard.values()) == {1}, "one voice"


@pytest.mark.parametrize("op", ["create", "remove"])
def test_a_repeat_is_answered_again_by_one_cloud(three: list[Daemon], requester: Requester, op: str) -> None:
    sessions = [requester.create(SLEEP, cloud=daemon.cloud)["id"] for daemon in three]
    for number, session in enumerate(sessions):
        request = {"id": f"r{number}", **({"script": SLEEP} if op == "create" else {"session": session})}
        for times in range(1, 5):
            requester.publish(op, request)
            answers = requester.answers(op, f"r{number}", times)
            assert answers == answers[:1] * times
    requester.create(SLEEP)  # by now whoever came second has looked
    assert [len(requester.answers(op, f"r{number}", 5, 1)) for number in range(3)] == [4, 4, 4]
    lived = sum(len(daemon.sessions()) for daemon in three)
    assert lived == (7 if op == "create" else 1)


def test_a_killed_owner_is_spoken_for_and_comes_back(three: list[Daemon], requester: Requester) -> None:
    session = requester.create(SLEEP)["id"]
    owner = owner_of(three, session)
    owner.kill()
    away(requester, owner)
    status = requester.status(session)
    assert (status["status"], status["state"], status["stale"]) == (True, "running", True)
    assert status["cloud"] != owner.cloud
    wait_until(lambda: requester.status(session)["state"] == "lost", 30)
    wait_until(lambda: requester.redis.hget(KEYS + "session:" + session, "state") == b"lost", 30)
    owner.start()
    status = requester.status(session)
    assert (status["status"], status["cloud"]) == (True, owner.cloud)
    assert "stale" not in status
    wait_until(lambda: requester.redis.hget(KEYS + "session:" + session, "state") == b"running")
    events = [json.loads(f[b"event"]) for _id, f in requester.redis.xrange(KEYS + "events")]
    told = [event["event"] for event in events if event.get("session") == session]
    assert told == ["session.starting", "session.running", "session.lost", "session.adopted"]


def test_a_remove_while_the_owner_is_away_is_the_first_thing_it_does(three: list[Daemon], requester: Requester) -> None:
    session = requester.create(SLEEP)["id"]
    owner = owner_of(three, session)
    owner.kill()
    away(requester, owner)
    answer = requester.remove(session, id="wish")
    assert (answer["status"], answer["error"]["code"]) == (False, "owner_away")
    assert session in owner.sessions()
    owner.start()
    assert owner.sessions() == {}
    assert requester.status(session) == {"cloud": owner.cloud, "id": session, "status": False}
    assert not requester.redis.exists(KEYS + "session:" + session)
    requester.publish("remove", {"session": session, "id": "wish"})
    assert json.loads(requester.answers("remove", "wish", 2)[1])["status"] is True, (
        "who asks again hears that it is done"
    )


def test_a_frozen_owner_wakes_up_and_contradicts_nobody(three: list[Daemon], requester: Requester) -> None:
    session = requester.create(SLEEP)["id"]
    owner = owner_of(three, session)
    owner.send(signal.SIGSTOP)
    away(requester, owner)
    asked = [f"while frozen {number}" for number in range(20)]
    for request_id in asked:
        requester.publish("status", {"id": request_id, "session": session})
    for request_id in asked:
        assert json.loads(requester.answers("status", request_id)[0])["stale"] is True
    wished = requester.remove(session)
    assert wished["error"]["code"] == "owner_away"
    owner.send(signal.SIGCONT)
    wait_until(lambda: owner.sessions() == {}, 20, "the wish is carried out")
    wait_until(lambda: requester.status(session)["cloud"] == owner.cloud, 20)
    assert {len(requester.answers("status", request_id)) for request_id in asked} == {1}, "it does not repeat them"


def test_the_best_cloud_dies_and_the_next_ones_take_its_creates(three: list[Daemon], requester: Requester) -> None:
    three[0].kill()
    for number in range(60):
        requester.publish("create", {"id": f"r{number}", "script": SLEEP})
    answers = [requester.answers("create", f"r{number}", timeout=30) for number in range(60)]
    assert {len(answer) for answer in answers} == {1}, "published once, and none is lost"
    assert {json.loads(answer[0])["cloud"] for answer in answers} == {three[1].cloud, three[2].cloud}


def test_a_create_that_kills_clouds_is_abandoned(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    doomed = [daemon_on(own_redis) for _ in range(3)]
    for daemon in doomed:
        daemon.env["PYCLOUD_FAULT"] = "create.claimed"
        daemon.start()
    requester = requester_on(own_redis)
    requester.publish("create", {"id": "killer", "script": SLEEP})
    wait_until(lambda: not any(daemon.running for daemon in doomed), 60)
    survivor = daemon_on(own_redis).start()
    answers = requester.answers("create", "killer", timeout=30)
    assert [json.loads(answer)["error"]["code"] for answer in answers] == ["abandoned"]
    assert survivor.sessions() == {}
    assert survivor.running


def test_capacity_labels_and_draining(own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    eu = daemon_on(own_redis, labels="region=eu,disk=ssd", capacity=2).start()
    us = daemon_on(own_redis, labels="region=us", capacity=3).start()
    draining = daemon_on(own_redis, labels="region=asia", draining=True).start()
    requester = requester_on(own_redis)

    def code(**fields: object) -> str | None:
        answer = requester.create(SLEEP, **fields)
        return answer.get("error", {}).get("code")

    assert requester.create(SLEEP, where={"region": "eu", "disk": "ssd"})["cloud"] == eu.cloud
    assert requester.create(SLEEP, cloud=us.cloud)["cloud"] == us.cloud
    assert code(where={"region": "moon"}) == "no_match"
    assert code(cloud="0" * 10) == "no_match"
    assert code(cloud=us.cloud, where={"region": "eu"}) == "no_match"
    assert code(where={"region": "asia"}) == "no_capacity"
    assert code(where="eu") == "bad_request"
    codes = [code() for _ in range(6)]
    assert sorted(map(str, codes)) == ["None"] * 3 + ["no_capacity"] * 3
    assert (len(eu.sessions()), len(us.sessions()), len(draining.sessions())) == (2, 3, 0)
    session = next(iter(eu.sessions()))
    requester.remove(session)
    wait_until(lambda: code(where={"region": "eu"}) is None, 20, "there is room again")


def test_more_creates_at_once_than_there_is_room_for(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemons = [daemon_on(own_redis, capacity=10).start() for _ in range(2)]
    requester = requester_on(own_redis)
    for number in range(50):
        requester.publish("create", {"id": f"r{number}", "script": SLEEP})
    answers = [json.loads(requester.answers("create", f"r{number}", timeout=30)[0]) for number in range(50)]
    assert Counter(answer.get("error", {}).get("code") for answer in answers) == {None: 20, "no_capacity": 30}
    assert [len(daemon.sessions()) for daemon in daemons] == [10, 10]


def test_repeats_take_no_room(own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon, requester = daemon_on(own_redis, capacity=5).start(), requester_on(own_redis)
    for _ in range(20):
        requester.publish("create", {"id": "often", "script": SLEEP})
    answers = [requester.create(SLEEP), *map(json.loads, requester.answers("create", "often"))]
    assert {answer.get("error", {}).get("code") for answer in answers} == {None}
    assert len(daemon.sessions()) == 2


def test_a_cloud_that_stops_in_order_is_away_at_once(three: list[Daemon], requester: Requester) -> None:
    session = requester.create(SLEEP)["id"]
    owner = owner_of(three, session)
    owner.stop()
    assert requester.status(session, timeout=2)["stale"] is True
    assert requester.create(SLEEP, timeout=2)["cloud"] != owner.cloud
