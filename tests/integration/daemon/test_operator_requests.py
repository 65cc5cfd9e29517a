"""What operators ask of a cloud, directly: to look closely at a session, and to take nothing new."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
#: Burns CPU in one process, sleeps in another, and has left its group and its parent with a third.
THREE = "echo hello\n(setsid sleep 1000 &)\nsleep 1000 &\nwhile :; do :; done\n"
KEYS = "{year4000.pycloud}:"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


@pytest.fixture
def cloud(shared_redis: RedisServer, daemon_on: DaemonOn) -> Daemon:
    """One cloud."""
    return daemon_on(shared_redis, stop_grace=1).start()


@pytest.fixture
def requester(shared_redis: RedisServer, requester_on: RequesterOn) -> Requester:
    """Its requester."""
    return requester_on(shared_redis)


def rank_of(requester: Requester, cloud: Daemon) -> dict[str, Any]:
    """What a cloud last said of itself."""
    rank: dict[str, Any] = json.loads(requester.redis.get(f"{KEYS}cloud:{cloud.cloud}"))
    return rank


def last_event(requester: Requester) -> str:
    """What happened last to a cloud itself."""
    told = [json.loads(fields[b"event"])["event"] for _place, fields in requester.redis.xrevrange(KEYS + "events")]
    return str(next(event for event in told if event.startswith("cloud.")))


def test_inspect_measures_what_a_session_uses(cloud: Daemon, requester: Requester) -> None:
    session = requester.create(THREE, id="three")["id"]

    def inspect() -> dict[str, Any]:
        return requester.ask_cloud(cloud.cloud, "inspect", session=session)

    wait_until(lambda: inspect()["figures"]["processes"] == 3)
    wait_until(lambda: inspect()["figures"]["cpu_percent"] > 10)
    before, after = inspect(), inspect()
    assert after["figures"]["cpu_seconds"] > before["figures"]["cpu_seconds"] > 0
    assert after["figures"]["memory"] > 300_000
    assert 0 < before["figures"]["uptime"] < after["figures"]["uptime"]
    status = requester.status(session)
    assert {name: after[name] for name in status} == status
    assert (after["request"], after["runtime"], after["cloud"]) == ("three", "script", cloud.cloud)
    details = after["details"]
    assert (details["directory"], details["log_bytes"]) == (str(cloud.data / "work" / session), len("hello\n"))
    assert (details["keeper"], details["adopted"]) == (cloud.keeper_pid, False)
    assert details["command"][0] == "/bin/sh"
    assert details["pid"] in cloud.sessions()[session]


def test_inspect_of_what_has_ended_and_of_what_nobody_knows(cloud: Daemon, requester: Requester) -> None:
    session = requester.create("exit 3")["id"]
    wait_until(lambda: requester.status(session)["state"] == "exited")
    ended = requester.ask_cloud(cloud.cloud, "inspect", session=session)
    assert (ended["status"], ended["exit_code"]) == (False, 3)
    assert "figures" not in ended
    assert ended["details"]["directory"].endswith(session)
    unknown = requester.ask_cloud(cloud.cloud, "inspect", session="0" * 20)
    assert unknown == {"cloud": cloud.cloud, "id": "0" * 20, "status": False}


def test_inspect_survives_the_keeper(cloud: Daemon, requester: Requester) -> None:
    session = requester.create(SLEEP)["id"]
    first = cloud.keeper_pid
    cloud.kill_keeper()
    wait_until(lambda: cloud.keeper_pid not in (0, first))
    details = requester.ask_cloud(cloud.cloud, "inspect", session=session)["details"]
    assert (details["adopted"], details["keeper"]) == (True, cloud.keeper_pid)


def test_a_drained_cloud_takes_nothing_new_also_after_a_restart(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    one, other = (daemon_on(own_redis, stop_grace=1).start() for _ in range(2))
    requester = requester_on(own_redis)
    session = requester.create(SLEEP, cloud=one.cloud)["id"]
    answer = requester.ask_cloud(one.cloud, "drain", draining=True, cloud=one.cloud)
    assert answer == {
        "cloud": one.cloud,
        "id": one.cloud,
        "status": True,
        "draining": True,
        "sessions": 1,
        "kept": True,
    }
    assert rank_of(requester, one)["draining"] is True, "said before it is answered"
    assert last_event(requester) == "cloud.draining"
    assert {requester.create(SLEEP)["cloud"] for _ in range(10)} == {other.cloud}
    assert requester.create(SLEEP, cloud=one.cloud)["error"]["code"] == "no_capacity"
    assert requester.status(session)["state"] == "running", "what is there goes on"

    one.stop()
    one.start()
    assert "node is draining, as last requested, although its settings say otherwise" in one.log()
    assert last_event(requester) == "cloud.draining"
    assert {requester.create(SLEEP)["cloud"] for _ in range(10)} == {other.cloud}

    assert requester.ask_cloud(one.cloud, "drain", draining=False)["draining"] is False
    assert last_event(requester) == "cloud.up"
    assert one.cloud in {requester.create(SLEEP)["cloud"] for _ in range(10)}
    one.kill()
    one.start()
    assert rank_of(requester, one)["draining"] is False


def test_undrain_outlives_the_setting(shared_redis: RedisServer, daemon_on: DaemonOn, requester: Requester) -> None:
    cloud = daemon_on(shared_redis, draining=True, stop_grace=1).start()
    assert requester.create(SLEEP, cloud=cloud.cloud)["error"]["code"] == "no_capacity"
    requester.ask_cloud(cloud.cloud, "drain", draining=False)
    cloud.stop()
    cloud.start()
    assert requester.create(SLEEP, cloud=cloud.cloud)["state"] == "running"
    assert "accepting new sessions, as last requested" in cloud.log()


def test_another_cloud_is_not_meant(cloud: Daemon, requester: Requester) -> None:
    answer = requester.ask_cloud(cloud.cloud, "drain", draining=True, cloud="0" * 10)
    assert (answer["status"], answer["error"]["code"]) == (False, "no_match")
    refused = requester.ask_cloud(cloud.cloud, "drain")
    assert (refused["status"], refused["error"]["code"]) == (False, "bad_request")
    assert rank_of(requester, cloud)["draining"] is False
