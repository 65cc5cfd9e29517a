"""The contract of docs/protocol.md, asked by publishing, of the real daemon on each kind of server."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"


@pytest.fixture(scope="module")
def daemon(each_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One cloud for all tests of this file."""
    home: Path = tmp_path_factory.mktemp("cloud")
    with Daemon(home, each_redis.url, stop_grace=5, max_script_bytes=1 << 20) as daemon:
        yield daemon


@pytest.fixture
def requester(daemon: Daemon, each_redis: RedisServer, requester_on: Callable[[RedisServer], Requester]) -> Requester:
    """A requester of that cloud."""
    return requester_on(each_redis)


def fresh() -> str:
    """An id nobody used."""
    return secrets.token_hex(6)


def test_create_status_remove(daemon: Daemon, requester: Requester) -> None:
    created = requester.create(SLEEP)
    assert created["cloud"] == daemon.cloud
    assert created["id"].endswith(daemon.cloud)
    assert (created["host"], created["state"]) == ("host.test", "running")
    assert 0 < created["port"] < 65536
    assert created["id"] in daemon.sessions()

    status = requester.status(created["id"])
    assert (status["cloud"], status["id"], status["status"]) == (daemon.cloud, created["id"], True)
    assert (status["state"], status["port"]) == ("running", created["port"])

    removed = requester.remove(created["id"])
    assert removed == {"cloud": daemon.cloud, "id": created["id"], "status": True}
    assert created["id"] not in daemon.sessions()
    assert not (daemon.data / "work" / created["id"]).exists()
    assert requester.status(created["id"])["status"] is False
    assert requester.remove(created["id"])["status"] is False


def test_the_state_of_what_ended(requester: Requester) -> None:
    created = requester.create("exit 7")
    status = wait_until(lambda: not (s := requester.status(created["id"]))["status"] and s)
    assert (status["state"], status["exit_code"], status["status"]) == ("exited", 7, False)
    assert requester.remove(created["id"])["status"] is True, "ended but remembered counts"


def test_an_unknown_session_is_not_there(daemon: Daemon, requester: Requester) -> None:
    for session in ("0" * 20, "0" * 10 + daemon.cloud, "nonsense", "日本"):
        assert requester.status(session) == {"cloud": daemon.cloud, "id": session, "status": False}
        assert requester.remove(session) == {"cloud": daemon.cloud, "id": session, "status": False}


@pytest.mark.parametrize(
    ("op", "fields", "word"),
    [
        ("create", {}, "script"),
        ("create", {"script": ""}, "script"),
        ("create", {"script": 5}, "script"),
        ("create", {"script": "x", "env": {"PYCLOUD_PORT": "1"}}, "PYCLOUD_PORT"),
        ("status", {}, "session"),
        ("status", {"session": ""}, "session"),
        ("status", {"session": None}, "session"),
        ("remove", {}, "session"),
        ("remove", {"session": 1}, "session"),
    ],
)
def test_a_bad_field_is_answered_with_its_name(
    requester: Requester, op: str, fields: dict[str, object], word: str
) -> None:
    answer = requester.ask(op, **fields)
    assert answer["error"]["code"] == "bad_request"
    assert word in answer["error"]["message"]
    assert answer.get("status", False) is False
    if op == "create":
        assert answer["id"] is None


def test_a_script_over_the_limit(daemon: Daemon, requester: Requester) -> None:
    answer = requester.create("#" * ((1 << 20) + 1))
    assert (answer["id"], answer["error"]["code"]) == (None, "script_too_large")
    answer = requester.create("#" * (8 << 20))
    assert (answer["id"], answer["error"]["code"]) == (None, "script_too_large")
    fits = requester.create(SLEEP + "\n" + "#" * ((1 << 20) - len(SLEEP) - 1))
    assert fits["state"] == "running"
    requester.remove(fits["id"])


@pytest.mark.parametrize(
    ("first_line", "words"),
    [
        ("#!/no/such/interpreter", "/no/such/interpreter"),
        ("#!/etc/passwd", "/etc/passwd"),
        ("#!/", "/"),
        ("#!/bin/sh\r", "CRLF"),
    ],
)
def test_an_interpreter_that_cannot_run(daemon: Daemon, requester: Requester, first_line: str, words: str) -> None:
    before = set(daemon.data.rglob("*"))  # the last of an earlier test's session may be deleted meanwhile
    answer = requester.create(first_line + "\necho")
    assert (answer["id"], answer["error"]["code"]) == (None, "start_failed")
    assert words in answer["error"]["message"]
    assert set(daemon.data.rglob("*")) <= before, "nothing is left of it"


def test_what_cannot_be_answered_is_counted_and_dropped(daemon: Daemon, requester: Requester) -> None:
    kinds = [b"\xff", b"no json", b"[]", b'{"script": "x"}', b'{"id": "", "script": "x"}', b'{"id": 5, "script": "x"}']

    def dropped() -> int:
        rank = requester.redis.get("{year4000.pycloud}:cloud:" + daemon.cloud)
        return int(json.loads(rank or b"{}").get("dropped", 0))

    before, lines = dropped(), daemon.log().count("dropped a request")
    for payload in kinds * 20:
        requester.publish("create", payload)
    wait_until(lambda: dropped() == before + 20 * len(kinds))
    # Not UTF-8, not JSON, no object, no id, and two with an id that is no good: one line for each of these five kinds.
    assert daemon.log().count("dropped a request") <= lines + 5
    assert "Traceback" not in daemon.log()


def test_a_repeat_is_answered_again_and_does_nothing_new(daemon: Daemon, requester: Requester) -> None:
    request = {"id": fresh(), "script": SLEEP}
    for _ in range(10):
        requester.publish("create", request)
    first = requester.answers("create", request["id"])[0]
    requester.publish("create", request)
    answers = requester.answers("create", request["id"], 2)
    assert len(answers) >= 2
    assert set(answers) == {first}
    session = json.loads(first)["id"]
    assert [s for s in daemon.sessions() if s == session] == [session]

    removal = {"id": fresh(), "session": session}
    requester.publish("remove", removal)
    answer = requester.answers("remove", removal["id"])[0]
    requester.publish("remove", removal)
    assert requester.answers("remove", removal["id"], 2) == [answer, answer]
    assert json.loads(answer)["status"] is True


def test_the_same_id_with_another_payload(daemon: Daemon, requester: Requester) -> None:
    request_id = fresh()
    created = requester.create(SLEEP, id=request_id)
    before = daemon.sessions()
    for heard in (2, 3):
        requester.publish("create", {"id": request_id, "script": "another"})
        assert len(requester.answers("create", request_id, heard)) == heard
    answers = [json.loads(answer) for answer in requester.answers("create", request_id, 3)]
    assert [answer["error"]["code"] for answer in answers[1:]] == ["id_conflict"] * 2
    assert answers[1] == answers[2]
    assert daemon.sessions() == before
    requester.publish("create", {"script": SLEEP, "id": request_id})
    assert json.loads(requester.answers("create", request_id, 4)[-1]) == created, "the first answer stands"
    requester.remove(created["id"])


def test_ids_are_opaque(requester: Requester) -> None:
    for request_id in ("a.b.c", "日本", "x" * 256, "{curly}:and:colons", "with space", '"quoted\\"'):
        answer = requester.ask("status", id=request_id, session="0" * 20)
        assert answer["status"] is False


def test_the_direct_channel(daemon: Daemon, requester: Requester) -> None:
    created = requester.create("echo out; echo err >&2; exec sleep 1000")
    session, channel = created["id"], f"cloud.{daemon.cloud}"

    def ask(op: str, **fields: object) -> dict[str, object]:
        request_id = fresh()
        requester.publish(channel, {"op": op, "id": request_id, **fields})
        answer: dict[str, object] = json.loads(requester.answers(op, request_id)[0])
        return answer

    assert ask("status", session=session)["status"] is True
    wait_until(lambda: ask("logs", session=session)["data"] == "out\nerr\n")
    assert ask("logs", session=session, bytes=4) == {
        "cloud": daemon.cloud,
        "id": session,
        "status": True,
        "offset": 4,
        "data": "err\n",
        "encoding": "utf-8",
    }
    assert ask("logs", session="0" * 20)["status"] is False
    assert ask("remove", session=session)["status"] is True
    assert ask("create", script="exit 0")["state"] == "running"


def test_what_redis_knows_of_a_session(daemon: Daemon, requester: Requester) -> None:
    created = requester.create(SLEEP)
    session, keys = created["id"], "{year4000.pycloud}:"
    record = requester.redis.hgetall(f"{keys}session:{session}")
    assert record[b"state"] == b"running"
    assert record[b"cloud"] == daemon.cloud.encode()
    assert int(record[b"port"]) == created["port"]
    assert requester.redis.zscore(f"{keys}sessions", session)
    assert requester.redis.sismember(f"{keys}sessions:{daemon.cloud}", session)
    requester.remove(session)
    assert not requester.redis.exists(f"{keys}session:{session}")
    assert not requester.redis.zscore(f"{keys}sessions", session)
    assert not requester.redis.sismember(f"{keys}sessions:{daemon.cloud}", session)


#: What PTTL says of a key that does not expire; one that has expired since it was found is fine.
NEVER = -1


def test_everything_in_redis_expires_or_is_bounded(requester: Requester) -> None:
    created = requester.create(SLEEP)
    bounded = {b"claims", b"clouds", b"sessions", b"events"}
    for key in requester.redis.scan_iter("*"):
        assert key.startswith(b"{year4000.pycloud}:")
        name = key.partition(b":")[2]
        own = name.startswith(b"sessions:")
        assert name in bounded or own or requester.redis.pttl(key) != NEVER, key
    assert requester.redis.zcard("{year4000.pycloud}:claims") == 0
    requester.remove(created["id"])


def test_no_command_is_newer_than_redis_6_2(each_redis: RedisServer, requester: Requester) -> None:
    """As the server itself says, of all that it was ever asked, in scripts too."""
    requester.remove(requester.create(SLEEP)["id"])
    with redis.Redis.from_url(each_redis.url, protocol=2) as client:
        asked = [name.removeprefix("cmdstat_").partition("|")[0] for name in client.info("commandstats")]
        connection = client.connection_pool.get_connection()
        connection.send_command("COMMAND", "DOCS", *set(asked))
        docs = connection.read_response()
        client.connection_pool.release(connection)
    since = dict(zip(docs[::2], (dict(zip(doc[::2], doc[1::2], strict=True)) for doc in docs[1::2]), strict=True))
    assert {b"evalsha", b"hset", b"zadd"} <= since.keys()
    newer = {
        name: fields[b"since"]
        for name, fields in since.items()
        if tuple(map(int, fields[b"since"].split(b".")))[:2] > (6, 2)
    }
    assert newer == {}


def test_events_tell_the_life_of_a_session(each_redis: RedisServer, requester: Requester) -> None:
    with redis.Redis.from_url(each_redis.url) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe("year4000.pycloud.events")
        pubsub.get_message(timeout=5)
        session = requester.create("exit 3")["id"]
        wait_until(lambda: requester.status(session)["state"] == "exited")
        requester.remove(session)
        events = []
        while not events or events[-1]["event"] != "session.removed":
            message = pubsub.get_message(timeout=5)
            assert message, events
            if (event := json.loads(message["data"])).get("session") == session:
                events.append(event)
        kept = [json.loads(fields[b"event"]) for _id, fields in client.xrange("{year4000.pycloud}:events")]
    names = ["session.starting", "session.running", "session.exited", "session.removed"]
    assert [event["event"] for event in events] == names
    assert events[2]["exit_code"] == 3
    assert [event for event in kept if event.get("session") == session] == events
