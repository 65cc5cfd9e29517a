"""Removes that are put off until a cloud is back, and creates that it left unanswered, whatever instant it dies at."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any
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


def last_answer(requester: Requester, op: str, request: dict[str, Any]) -> dict[str, Any]:
    """Publish a request (again); its next answer."""
    before = len(requester.answers(op, request["id"], 0, 0))
    requester.publish(op, request)
    answers = requester.answers(op, request["id"], before + 1, 10)
    assert len(answers) == before + 1, f"{op} {request['id']} was not answered"
    said: dict[str, Any] = json.loads(answers[-1])
    return said


def spoken_for(requester: Requester, session: str) -> bool:
    """Whether another cloud answers for a session."""
    request = {"id": uuid4().hex, "session": session}
    requester.publish("status", request)
    return any(json.loads(answer).get("stale") for answer in requester.answers("status", request["id"], 1, 0.3))


def put_off(requester: Requester, session: str, request_id: str) -> dict[str, Any]:
    """A remove of a session whose owner is away, once that is known; the request."""
    wait_until(lambda: spoken_for(requester, session), 20)
    request = {"id": request_id, "session": session}
    assert last_answer(requester, "remove", request)["error"]["code"] == "owner_away"
    return request


def away(owner: Daemon, requester: Requester, request_id: str) -> tuple[str, dict[str, Any]]:
    """A session of a cloud that was killed, and the remove of it that was put off."""
    session = requester.create(SLEEP, cloud=owner.cloud)["id"]
    owner.kill()
    return session, put_off(requester, session, request_id)


@pytest.fixture
def two(own_redis: RedisServer, daemon_on: DaemonOn) -> list[Daemon]:
    """The owner, and another one that speaks for it."""
    return [daemon_on(own_redis).start() for _ in range(2)]


def test_an_owner_that_dies_over_a_wish_answers_it_the_next_time(
    two: list[Daemon], own_redis: RedisServer, requester_on: RequesterOn
) -> None:
    owner, requester = two[0], requester_on(own_redis)
    _session, request = away(owner, requester, "wish")
    owner.env["PYCLOUD_FAULT"] = "pending_removal.done"
    owner.launch()
    wait_until(lambda: not owner.running, 20)
    assert owner.sessions() == {}, "it was carried out"
    requester.redis.delete(KEYS + "request:remove:wish")  # that it is put off is remembered for seconds only
    answer = last_answer(requester, "remove", request)
    assert answer["error"]["code"] == "owner_away", "nobody says that there was nothing to remove"
    del owner.env["PYCLOUD_FAULT"]
    owner.start()
    assert last_answer(requester, "remove", request)["status"] is True
    assert not requester.redis.exists(KEYS + "wishes:" + owner.cloud)
    assert not requester.redis.exists(KEYS + "session:" + request["session"])


def test_a_wish_for_what_is_gone_by_then_is_answered(
    two: list[Daemon], own_redis: RedisServer, requester_on: RequesterOn
) -> None:
    owner, requester = two[0], requester_on(own_redis)
    session, request = away(owner, requester, "wish")
    for pid in owner.sessions()[session]:
        os.kill(pid, 9)
    wait_until(lambda: session not in owner.sessions())
    requester.redis.delete(KEYS + "session:" + session)
    owner.options["remember"] = 0
    owner.start()
    wait_until(lambda: not requester.redis.exists(KEYS + "wishes:" + owner.cloud))
    assert last_answer(requester, "remove", request)["status"] is True


def test_many_wishes_are_carried_out_side_by_side(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    owner, _other = (daemon_on(own_redis, stop_grace=2).start() for _ in range(2))
    requester = requester_on(own_redis)
    stubborn = "trap '' TERM; while :; do sleep 0.1; done"
    sessions = [requester.create(stubborn, cloud=owner.cloud)["id"] for _ in range(10)]
    owner.kill()
    requests = [put_off(requester, session, f"wish{number}") for number, session in enumerate(sessions)]
    began = time.monotonic()
    owner.start()
    assert time.monotonic() - began < 10 * 2, "not one grace after the other"
    assert owner.sessions() == {}
    for request in requests:
        assert last_answer(requester, "remove", request)["status"] is True


def age(daemon: Daemon, seconds: float) -> None:
    """Make the only session of a dead daemon look older: its keeper, and so what that knows, goes too."""
    daemon.kill_keeper()
    (journal,) = (daemon.data / "state").glob("*.journal")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    lines[0]["record"]["created"] -= seconds
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def die_over_a_create(daemon: Daemon, requester: Requester, point: str) -> None:
    """Have a daemon killed at this point of a create, and start without the fault the next time."""
    daemon.env["PYCLOUD_FAULT"] = point
    daemon.start()
    requester.publish("create", {"id": "r", "script": SLEEP})
    wait_until(lambda: not daemon.running, 20)
    del daemon.env["PYCLOUD_FAULT"]


def test_a_session_that_was_answered_for_survives_the_loss_of_all_data(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis), requester_on(own_redis)
    die_over_a_create(daemon, requester, "create.committed")
    session = json.loads(requester.answers("create", "r")[0])["id"]
    age(daemon, 700)
    own_redis.restart(keep_data=False)
    daemon.start()
    again = requester_on(own_redis)
    assert list(daemon.sessions()) == [session]
    assert again.status(session)["status"] is True
    assert last_answer(again, "create", {"id": "r", "script": SLEEP})["id"] == session


def test_one_that_was_never_answered_for_does_not(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis), requester_on(own_redis)
    die_over_a_create(daemon, requester, "create.started")
    age(daemon, 700)
    requester.redis.delete(KEYS + "request:create:r", KEYS + "claims")
    daemon.start()
    assert daemon.sessions() == {}
    assert requester.answers("create", "r", 1, 1) == []


def test_nor_does_one_whose_request_another_cloud_has_answered(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis), requester_on(own_redis)
    die_over_a_create(daemon, requester, "create.started")
    other = daemon_on(own_redis).start()
    session = json.loads(requester.answers("create", "r", timeout=30)[0])["id"]
    age(daemon, 700)
    # What a Redis says that lost its data, and to which the other cloud came back first, a while ago.
    requester.redis.delete(KEYS + "request:create:r")
    requester.redis.zrem(KEYS + "clouds", daemon.cloud)
    daemon.start()
    assert daemon.sessions() == {}
    assert list(other.sessions()) == [session]
