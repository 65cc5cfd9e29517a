"""Two daemons with one cloud's id: a data directory was copied, or a machine was cloned."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
WARNING = "another daemon uses this node's id"
LISTED = "{year4000.pycloud}:sessions"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


def copy_to(original: Path, copy: Path) -> None:
    """As somebody copies a directory."""
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("*.sock", "run"))


def test_a_copy_says_nothing_while_its_original_lives(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    original, copy = daemon_on(own_redis).start(), daemon_on(own_redis)
    requester = requester_on(own_redis)
    session = requester.create(SLEEP)["id"]
    copy.data.mkdir(parents=True, mode=0o711)
    shutil.copy(original.data / "cloud-id", copy.data / "cloud-id")
    copy.launch()
    wait_until(lambda: WARNING in copy.log(), 30, copy.log)
    for _ in range(5):
        assert requester.status(session)["status"] is True
        assert requester.create(SLEEP)["state"] == "running"
    assert (len(original.sessions()), requester.redis.zcard(LISTED)) == (6, 6)
    assert WARNING not in original.log()
    assert " ready: " not in copy.log()
    assert copy.stop() == 0, "it can be told to stop all the same"
    assert requester.redis.zcard(LISTED) == 6


def test_a_daemon_that_was_killed_is_no_double_of_the_next(own_redis: RedisServer, daemon_on: DaemonOn) -> None:
    daemon = daemon_on(own_redis, heartbeat=20).start()
    daemon.kill()
    daemon.start()
    assert daemon.log().count(" ready: ") == 2
    assert WARNING not in daemon.log()


def test_a_copy_of_the_mark_does_not_make_a_copy_the_original(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    original, copy = daemon_on(own_redis).start(), daemon_on(own_redis)
    copy_to(original.data, copy.data)
    shutil.rmtree(copy.data / "state")
    (copy.data / "keeper.lock").unlink(missing_ok=True)
    copy.launch()
    wait_until(lambda: WARNING in copy.log(), 30, copy.log)
    original.stop()
    wait_until(lambda: "this node's id has ended" in copy.log() and " ready: " in copy.log(), 30, copy.log)
    assert requester_on(own_redis).create(SLEEP)["state"] == "running"


def test_two_that_did_not_notice_each_other_in_time_take_no_requests(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    original, copy = daemon_on(own_redis, lost_after=5).start(), daemon_on(own_redis, lost_after=5)
    requester = requester_on(own_redis)
    copy_to(original.data, copy.data)
    shutil.rmtree(copy.data / "state")
    (copy.data / "keeper.lock").unlink(missing_ok=True)
    copy.launch()

    def ready() -> bool:
        requester.redis.delete(f"{{year4000.pycloud}}:cloud:{original.cloud}")  # as if it had just come up itself
        return " ready: " in copy.log()

    wait_until(ready, 30, copy.log)
    for daemon in (original, copy):
        wait_until(lambda daemon=daemon: WARNING in daemon.log(), 30, daemon.log)
    requester.publish("create", {"id": "r", "script": SLEEP})
    assert requester.answers("create", "r", timeout=3) == []
    copy.stop()
    wait_until(lambda: "requests are accepted again" in original.log(), 60, original.log)
    wait_until(lambda: requester.create(SLEEP).get("state") == "running")
