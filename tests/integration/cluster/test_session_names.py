"""Names and labels of sessions, on real daemons: of all sessions that live, one has a name."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from uuid import uuid4

import pytest

from pycloud.client import Client
from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
KEYS = "{year4000.pycloud}:"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


@pytest.fixture
def two(own_redis: RedisServer, daemon_on: DaemonOn) -> list[Daemon]:
    """Two clouds; one that is silent for 4 s is lost."""
    return [daemon_on(own_redis, lost_after=4, stop_grace=1).start() for _ in range(2)]


@pytest.fixture
def requester(two: list[Daemon], own_redis: RedisServer, requester_on: RequesterOn) -> Requester:
    """A requester of theirs."""
    return requester_on(own_redis)


def meant_by(requester: Requester, name: str) -> str | None:
    """The session that a name stands for."""
    found = requester.redis.hget(f"{KEYS}name:{name}", "session")
    return None if found is None else str(found.decode())


def named(requester: Requester, cloud: Daemon, name: str = "web") -> str:
    """A new session of that name on a certain cloud; its id."""
    session: str = requester.create(SLEEP, name=name, cloud=cloud.cloud)["id"]
    return session


def taken(answer: dict[str, object]) -> object:
    """The session that a refused create names as the one that has its name."""
    error = answer["error"]
    assert isinstance(error, dict)
    assert error["code"] == "name_taken", error
    assert str(error["session"]) in error["message"]
    return error["session"]


def test_of_two_creates_of_one_name_at_once_exactly_one_wins(two: list[Daemon], requester: Requester) -> None:
    for round_ in range(25):
        ids = [uuid4().hex for _ in range(4)]
        for number, request_id in enumerate(ids):
            wish = {"cloud": two[number % 2].cloud} if round_ % 2 else {}
            requester.publish("create", {"id": request_id, "script": SLEEP, "name": f"web-{round_}", **wish})
        answers = [json.loads(requester.answers("create", request_id)[0]) for request_id in ids]
        winners = [answer["id"] for answer in answers if answer["id"]]
        assert len(winners) == 1, answers
        assert {taken(answer) for answer in answers if not answer["id"]} == set(winners)
        assert meant_by(requester, f"web-{round_}") == winners[0]
    running = [session for daemon in two for session in daemon.sessions()]
    assert len(running) == 25


def test_name_and_labels_are_told_in_status_record_and_events(
    two: list[Daemon], requester: Requester, own_redis: RedisServer
) -> None:
    labels = {"app": "shop", "tier/of": ""}
    session = requester.create(SLEEP, name="web", labels=labels)["id"]
    requester.create(SLEEP)
    status = requester.status(session)
    assert (status["name"], status["labels"]) == ("web", labels)
    with Client(own_redis.url) as client:
        assert client.session_named("web") == session
        assert client.session_named("other") is None
        (record,) = client.sessions(labels={"app": "shop"})
        assert (record.id, record.name, record.labels) == (session, "web", labels)
        assert [record.id for record in client.sessions(name="w*")] == [session]
        assert not list(client.sessions(labels={"app": "shop", "tier": "1"}))
    requester.remove(session)
    events = [json.loads(entry[b"event"]) for _id, entry in requester.redis.xrange(f"{KEYS}events")]
    told = {event["event"] for event in events if event.get("name") == "web" and event["labels"] == labels}
    assert told >= {"session.starting", "session.running", "session.removed"}
    assert all("name" not in event for event in events if event.get("session") != session)
    assert meant_by(requester, "web") is None


def test_a_name_is_free_once_its_session_has_ended_failed_or_is_removed(
    two: list[Daemon], requester: Requester
) -> None:
    first = requester.create("exit 3", name="web")["id"]
    wait_until(lambda: not requester.status(first)["status"])
    assert meant_by(requester, "web") == first, "it stands for the one that ended"
    failed = requester.create("#!/usr/bin/nope", name="web")
    assert failed["error"]["code"] == "start_failed"
    second = requester.create(SLEEP, name="web")["id"]
    requester.remove(first)  # it had the name; that is another's now
    assert meant_by(requester, "web") == second
    assert taken(requester.create(SLEEP, name="web")) == second
    requester.remove(second)
    assert requester.create(SLEEP, name="web")["id"]


def test_what_takes_a_create_over_may_have_the_name_that_the_dead_claimant_took(
    two: list[Daemon], requester: Requester, daemon_on: DaemonOn, own_redis: RedisServer
) -> None:
    dying = daemon_on(own_redis, lost_after=4, env={"PYCLOUD_FAULT": "create.started"}).start()
    requester.publish("create", {"id": "r", "script": SLEEP, "name": "web", "cloud": dying.cloud})
    wait_until(lambda: not dying.running, 20)
    left = meant_by(requester, "web")
    assert left
    assert left.endswith(dying.cloud)
    assert taken(requester.create(SLEEP, name="web")) == left, "it is kept for whoever takes over"
    dying.env.pop("PYCLOUD_FAULT")
    dying.start()
    session = json.loads(requester.answers("create", "r", 1, 30)[0])["id"]
    assert meant_by(requester, "web") == session
    assert requester.status(session)["name"] == "web"


def test_another_cloud_takes_over_with_the_name(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    dying = daemon_on(own_redis, env={"PYCLOUD_FAULT": "create.started"}).start()
    requester = requester_on(own_redis)
    requester.publish("create", {"id": "r", "script": SLEEP, "name": "web"})
    wait_until(lambda: not dying.running, 20)
    left = meant_by(requester, "web")
    other = daemon_on(own_redis).start()
    session = json.loads(requester.answers("create", "r", 1, 30)[0])["id"]
    assert session.endswith(other.cloud)
    assert left != session
    assert meant_by(requester, "web") == session
    dying.env.pop("PYCLOUD_FAULT")
    dying.start()  # it removes what it had started, and leaves the name where it is
    wait_until(lambda: not dying.sessions(), 20)
    assert meant_by(requester, "web") == session


def test_a_session_that_nobody_was_told_of_gives_way_to_one_that_has_its_name(
    two: list[Daemon], requester: Requester, daemon_on: DaemonOn, own_redis: RedisServer
) -> None:
    dying = daemon_on(own_redis, env={"PYCLOUD_FAULT": "create.started"}).start()
    requester.publish("create", {"id": "r", "script": SLEEP, "name": "web", "cloud": dying.cloud})
    wait_until(lambda: not dying.running, 20)
    requester.redis.delete(f"{KEYS}name:web")  # as after the time for which it is kept
    second = named(requester, two[0])
    dying.env.pop("PYCLOUD_FAULT")
    dying.start()
    assert taken(json.loads(requester.answers("create", "r", 1, 30)[0])) == second
    wait_until(lambda: not dying.sessions())
    assert meant_by(requester, "web") == second


def test_an_adopted_session_keeps_name_and_labels(two: list[Daemon], requester: Requester) -> None:
    session = requester.create(SLEEP, name="web", labels={"a": "b"}, cloud=two[0].cloud)["id"]
    two[0].kill()
    two[0].start()
    status = requester.status(session)
    assert (status["name"], status["labels"]) == ("web", {"a": "b"})
    assert taken(requester.create(SLEEP, name="web", cloud=two[1].cloud)) == session


def test_names_are_told_to_a_redis_that_comes_back_empty(
    two: list[Daemon], requester: Requester, own_redis: RedisServer, requester_on: RequesterOn
) -> None:
    sessions = [named(requester, cloud, f"web-{number}") for number, cloud in enumerate(two)]
    own_redis.restart(keep_data=False)
    again = requester_on(own_redis)
    # Sent while the clouds are coming back: they wait with names until all have told theirs.
    for number in range(2):
        again.publish("create", {"id": f"r{number}", "script": SLEEP, "name": f"web-{number}"})
    wait_until(lambda: again.redis.exists(*(f"{KEYS}cloud:{cloud.cloud}" for cloud in two)) == 2, 20)
    for number, session in enumerate(sessions):
        answer = again.ask("create", script=SLEEP, name=f"web-{number}", timeout=20)
        assert taken(answer) == session
    assert sum(len(cloud.sessions()) for cloud in two) == 2


def test_where_two_living_sessions_come_to_one_name_it_is_said_once_and_stays(
    two: list[Daemon], requester: Requester
) -> None:
    first = named(requester, two[0])
    two[0].send(signal.SIGSTOP)
    wait_until(lambda: not requester.redis.exists(f"{KEYS}cloud:{two[0].cloud}"))
    # What a Redis that lost its data while a cloud was frozen looks like.
    requester.redis.delete(f"{KEYS}name:web", f"{KEYS}session:{first}")
    second = named(requester, two[1])
    two[0].send(signal.SIGCONT)
    wait_until(lambda: "the name now belongs to" in two[0].log(), 30, two[0].log)
    assert meant_by(requester, "web") == second
    wait_until(lambda: "name" not in requester.status(first))
    assert requester.status(second)["name"] == "web"
    two[0].kill()
    two[0].start()
    assert "name" not in requester.status(first)
    assert two[0].log().count("the name now belongs to") == 1
    requester.remove(first)
    assert meant_by(requester, "web") == second


def test_a_lost_session_keeps_its_name_until_somebody_removes_it(two: list[Daemon], requester: Requester) -> None:
    first = named(requester, two[0])
    two[0].kill()
    wait_until(lambda: requester.redis.hget(f"{KEYS}session:{first}", "state") == b"lost", 30)
    assert requester.status(first)["name"] == "web"
    assert taken(requester.create(SLEEP, name="web")) == first
    assert requester.remove(first)["error"]["code"] == "owner_away"
    second = named(requester, two[1])
    two[0].start()  # it does what was wished, and does not ask for the name back
    wait_until(lambda: not two[0].sessions(), 20)
    assert meant_by(requester, "web") == second
    lost = [json.loads(entry[b"event"]) for _id, entry in requester.redis.xrange(f"{KEYS}events")]
    assert [event["name"] for event in lost if event["event"] == "session.lost"] == ["web"]
