"""Sessions outlive their daemon, and their keeper; what either leaves unfinished is finished."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


def test_a_killed_daemon_adopts_its_sessions(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    go = tmp_path / "go"
    running = requester.create(SLEEP)
    ends_later = requester.create(f"until [ -e {go} ]; do sleep 0.02; done; exit 41")
    ended_before = requester.create("exit 3")
    wait_until(lambda: requester.status(ended_before["id"])["state"] == "exited")
    cloud, before = daemon.cloud, daemon.sessions()

    daemon.kill()
    go.touch()
    wait_until(lambda: ends_later["id"] not in daemon.sessions(), message="it ends while the daemon is away")
    daemon.start()

    assert daemon.cloud == cloud
    assert daemon.sessions()[running["id"]] == before[running["id"]]
    assert requester.status(running["id"])["port"] == running["port"]
    late = requester.status(ends_later["id"])
    assert (late["state"], late["exit_code"]) == ("exited", 41)
    assert requester.status(ended_before["id"])["exit_code"] == 3
    for created in (running, ends_later, ended_before):
        assert requester.remove(created["id"])["status"] is True
    assert daemon.sessions() == {}


def test_an_adopted_session_is_watched(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path
) -> None:
    daemon, requester, go = daemon_on(shared_redis).start(), requester_on(shared_redis), tmp_path / "go"
    created = requester.create(f"until [ -e {go} ]; do sleep 0.02; done; exit 5")
    daemon.kill()
    daemon.start()
    assert requester.status(created["id"])["status"] is True
    go.touch()
    status = wait_until(lambda: not (s := requester.status(created["id"]))["status"] and s)
    assert status["exit_code"] == 5


def test_a_stop_leaves_sessions_and_keeper(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    created = requester.create(SLEEP)
    keeper = daemon.keeper_pid
    assert daemon.stop() == 0
    assert created["id"] in daemon.sessions()
    assert not requester.redis.exists("{year4000.pycloud}:cloud:" + daemon.cloud), "it said that it is gone"
    daemon.start()
    assert daemon.keeper_pid == keeper
    assert requester.status(created["id"])["status"] is True


def test_on_stop_remove(shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon, requester = daemon_on(shared_redis, on_stop="remove").start(), requester_on(shared_redis)
    created = [requester.create(SLEEP) for _ in range(5)]
    keeper = daemon.keeper_pid
    assert daemon.stop(signal.SIGINT) == 0
    assert daemon.sessions() == {}
    for name in ("work", "state", "logs"):
        assert list((daemon.data / name).iterdir()) == []
    for each in created:
        assert not requester.redis.exists("{year4000.pycloud}:session:" + each["id"])
    wait_until(lambda: not Path(f"/proc/{keeper}/stat").exists(), 20, "a keeper without daemon and sessions ends")


def test_a_killed_keeper_is_replaced(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path
) -> None:
    daemon, requester, go = daemon_on(shared_redis).start(), requester_on(shared_redis), tmp_path / "go"
    waits = requester.create(f"until [ -e {go} ]; do sleep 0.02; done; exit 5")
    stays = requester.create(SLEEP)
    keeper = daemon.keeper_pid
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: daemon.keeper_pid != keeper)
    assert requester.status(waits["id"])["status"] is True
    another = requester.create(SLEEP)
    assert another["state"] == "running"
    go.touch()
    status = wait_until(lambda: not (s := requester.status(waits["id"]))["status"] and s)
    assert status["exit_code"] is None
    assert status["reason"]
    for created in (waits, stays, another):
        assert requester.remove(created["id"])["status"] is True
    assert daemon.sessions() == {}


def test_keeper_and_daemon_killed_at_once(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    created = requester.create(SLEEP)
    os.kill(daemon.keeper_pid, signal.SIGKILL)
    daemon.kill()
    daemon.start()
    assert requester.status(created["id"])["status"] is True
    assert requester.remove(created["id"])["status"] is True
    assert daemon.sessions() == {}


@pytest.mark.parametrize("point", ["create.claimed", "create.started", "create.committed"])
def test_a_daemon_that_dies_in_a_create_finishes_it(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, point: str
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    daemon.stop()
    daemon.env["PYCLOUD_FAULT"] = point
    daemon.start()
    request = {"id": point, "script": SLEEP}
    requester.publish("create", request)
    assert daemon.process is not None
    assert daemon.process.wait(20) == -signal.SIGKILL
    del daemon.env["PYCLOUD_FAULT"]
    daemon.start()

    answers = requester.answers("create", point, timeout=20)
    assert len(answers) == 1, "answered once, though it was published once and nobody asked again"
    session = json.loads(answers[0])["id"]
    assert list(daemon.sessions()) == [session]
    requester.publish("create", request)
    assert requester.answers("create", point, 2) == answers * 2
    assert requester.remove(session)["status"] is True


@pytest.mark.parametrize("point", ["remove.claimed", "remove.stopped", "remove.committed"])
def test_a_daemon_that_dies_in_a_remove_finishes_it(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, point: str
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    session = requester.create(SLEEP)["id"]
    daemon.stop()
    daemon.env["PYCLOUD_FAULT"] = point
    daemon.start()
    requester.publish("remove", {"id": point, "session": session})
    assert daemon.process is not None
    assert daemon.process.wait(20) == -signal.SIGKILL
    del daemon.env["PYCLOUD_FAULT"]
    daemon.start()

    answers = requester.answers("remove", point, timeout=20)
    assert [json.loads(answer)["status"] for answer in answers] == [True]
    assert daemon.sessions() == {}
    wait_until(lambda: list((daemon.data / "state").iterdir()) == [])
    assert not requester.redis.exists("{year4000.pycloud}:session:" + session)
    assert requester.redis.zcard("{year4000.pycloud}:claims") == 0


@pytest.mark.parametrize("point", ["keeper.after_journal", "keeper.after_spawn", "keeper.after_running"])
def test_a_keeper_that_dies_in_a_create_makes_no_twin(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, point: str
) -> None:
    daemon, requester = daemon_on(shared_redis), requester_on(shared_redis)
    daemon.env["PYCLOUD_FAULT"] = point
    daemon.launch()
    wait_until(lambda: " ready: " in daemon.log(), 30, daemon.log)
    keeper = daemon.keeper_pid
    requester.publish("create", {"id": point, "script": SLEEP})
    wait_until(lambda: not Path(f"/proc/{keeper}/stat").exists() or daemon.keeper_pid != keeper)
    # The keeper that the daemon starts anew would die at the same point: it is started without the fault.
    daemon.kill()
    del daemon.env["PYCLOUD_FAULT"]
    daemon.start()
    answers = requester.answers("create", point, timeout=20)
    assert len(answers) == 1
    assert list(daemon.sessions()) == [json.loads(answers[0])["id"]]


def test_a_second_daemon_on_the_same_data_is_refused(shared_redis: RedisServer, daemon_on: DaemonOn) -> None:
    daemon = daemon_on(shared_redis).start()
    second = Daemon(daemon.home, shared_redis.url)
    second.log_path = daemon.home / "second"
    second.launch()
    assert second.process is not None
    assert second.process.wait(20) == 1
    assert str(daemon.pid) in second.log()
    assert daemon.running


def test_a_thousand_sessions_are_adopted_before_the_cloud_subscribes(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    for number in range(1000):
        requester.publish("create", {"id": f"many{number}", "script": SLEEP})
    ids = [json.loads(requester.answers("create", f"many{n}", timeout=60)[0])["id"] for n in range(1000)]
    assert sorted(daemon.sessions()) == sorted(ids)
    assert "taking over" not in daemon.log()
    daemon.kill()
    daemon.launch()
    wait_until(lambda: "adopted 1000 sessions, 1000 of them alive" in daemon.log(), 30, daemon.log)
    wait_until(lambda: daemon.log().count(" ready: ") == 2, 30)
    for session in ids:
        requester.publish("status", {"id": session, "session": session})
    for session in ids:
        answers = requester.answers("status", session)
        assert [json.loads(answer)["status"] for answer in answers] == [True]
    daemon.options["on_stop"] = "remove"
    daemon.stop()
    daemon.start()
    daemon.stop()
    assert daemon.sessions() == {}
