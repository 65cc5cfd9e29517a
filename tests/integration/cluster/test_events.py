"""What is told of sessions and clouds: all of it once, also where daemons die, freeze and come back."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.daemon import Daemon
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
STUBBORN = "trap '' TERM; while :; do sleep 0.1; done"
KEYS = "{year4000.pycloud}:"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


def told(requester: Requester, subject: str) -> list[str]:
    """The events about a session or a cloud itself, oldest first."""
    events = [json.loads(fields[b"event"]) for _id, fields in requester.redis.xrange(KEYS + "events")]
    return [event["event"] for event in events if event.get("session", event["cloud"]) == subject]


def spoken_for(requester: Requester, session: str) -> bool:
    """Whether another cloud answers for a session, because its own is away."""
    request_id = uuid4().hex
    requester.publish("status", {"id": request_id, "session": session})
    return any(json.loads(answer).get("stale") for answer in requester.answers("status", request_id, 1, 0.3))


def state(requester: Requester, session: str) -> bytes | None:
    """What is on record."""
    found: bytes | None = requester.redis.hget(KEYS + "session:" + session, "state")
    return found


@pytest.mark.parametrize("remember", [3600, 0])
def test_sessions_that_end_while_their_daemon_is_down(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path, remember: int
) -> None:
    daemon, requester = daemon_on(own_redis, remember=remember).start(), requester_on(own_redis)
    ends = requester.create(f"until [ -e {tmp_path}/go ]; do sleep 0.02; done; exit 7")["id"]
    stays = requester.create(SLEEP)["id"]
    daemon.kill()
    (tmp_path / "go").touch()
    wait_until(lambda: ends not in daemon.sessions())
    daemon.start()
    wait_until(lambda: "session.exited" in told(requester, ends), message=lambda: str(told(requester, ends)))
    wait_until(lambda: "session.adopted" in told(requester, stays))
    assert told(requester, ends) == ["session.starting", "session.running", "session.exited"]
    assert told(requester, stays) == ["session.starting", "session.running", "session.adopted"]
    exited = [json.loads(fields[b"event"]) for _id, fields in requester.redis.xrange(KEYS + "events")]
    assert [event["exit_code"] for event in exited if event["event"] == "session.exited"] == [7]
    daemon.kill()
    daemon.start()
    assert told(requester, ends).count("session.exited") == 1, "it was told"


def test_one_that_ends_before_it_is_answered_for(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon = daemon_on(own_redis)
    daemon.env["PYCLOUD_FAULT"] = "create.started"
    daemon.start()
    requester = requester_on(own_redis)
    requester.publish("create", {"id": "r", "script": "exit 7"})
    wait_until(lambda: not daemon.running)
    del daemon.env["PYCLOUD_FAULT"]
    wait_until(lambda: daemon.sessions() == {})
    daemon.start()
    session = json.loads(requester.answers("create", "r")[0])["id"]
    wait_until(lambda: "session.exited" in told(requester, session), message=lambda: str(told(requester, session)))
    assert Counter(told(requester, session)) == Counter(["session.starting", "session.running", "session.exited"])


def test_a_frozen_cloud_is_lost_and_says_that_its_sessions_live(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    frozen, _other = (daemon_on(own_redis, lost_after=4).start() for _ in range(2))
    requester = requester_on(own_redis)
    session, ends = (requester.create(SLEEP, cloud=frozen.cloud)["id"] for _ in range(2))
    wait_until(lambda: state(requester, session))
    frozen.send(signal.SIGSTOP)
    wait_until(lambda: {state(requester, session), state(requester, ends)} == {b"lost"}, 40)
    os.kill(frozen.sessions()[ends][0], signal.SIGKILL)
    frozen.send(signal.SIGCONT)
    wait_until(lambda: (state(requester, session), state(requester, ends)) == (b"running", b"exited"), 20)
    wait_until(lambda: "session.adopted" in told(requester, session), message=lambda: str(told(requester, session)))
    running = ["session.starting", "session.running", "session.lost"]
    assert told(requester, session) == [*running, "session.adopted"]
    assert Counter(told(requester, ends)) - Counter(["session.adopted"]) == Counter([*running, "session.exited"])


def test_a_cloud_that_is_given_up_while_it_starts(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    owner, _other = (daemon_on(own_redis, lost_after=5, stop_grace=12).start() for _ in range(2))
    requester = requester_on(own_redis)
    session, removed = (requester.create(script, cloud=owner.cloud)["id"] for script in (SLEEP, STUBBORN))
    owner.kill()
    wait_until(lambda: spoken_for(requester, session), 20)
    assert requester.remove(removed)["error"]["code"] == "owner_away"
    owner.launch()  # what is to be removed takes its time, and the cloud comes only then
    wait_until(lambda: "session.lost" in told(requester, session), 20)
    wait_until(lambda: "session.adopted" in told(requester, session), 20)
    assert state(requester, session) == b"running"
    assert told(requester, session)[2:] == ["session.lost", "session.adopted"]
    assert told(requester, removed).count("session.removed") == 1


def test_a_cloud_that_dies_twice_is_lost_twice(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    options = {"lost_after": 4, "load_weight": 0}
    loaded, dies = daemon_on(own_redis, **options).start(), daemon_on(own_redis, **options).start()
    requester = requester_on(own_redis)
    for _ in range(3):
        requester.create(SLEEP, cloud=loaded.cloud)
    session = requester.create(SLEEP, cloud=dies.cloud)["id"]
    for times in (1, 2):  # while it is there, it comes first of the two
        dies.kill()
        wait_until(lambda times=times: told(requester, session).count("session.lost") == times, 40)
        assert state(requester, session) == b"lost"
        dies.start()
        wait_until(lambda: state(requester, session) == b"running")
    wait_until(lambda: told(requester, session).count("session.adopted") == 2)


def test_a_removal_is_told_once_however_many_want_it(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis, stop_grace=1).start(), requester_on(own_redis)
    session = requester.create(STUBBORN)["id"]
    for number in range(3):
        requester.publish("remove", {"id": f"gone{number}", "session": session})
    for number in range(3):
        assert json.loads(requester.answers("remove", f"gone{number}", timeout=20)[0])["status"] is True
    assert requester.status(session)["status"] is False
    assert told(requester, session).count("session.removed") == 1
    assert daemon.sessions() == {}


def test_a_wish_and_a_remove_that_comes_late_are_told_once(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    owner, _other = (daemon_on(own_redis, stop_grace=4).start() for _ in range(2))
    requester = requester_on(own_redis)
    session = requester.create(STUBBORN, cloud=owner.cloud)["id"]
    owner.send(signal.SIGSTOP)
    wait_until(lambda: spoken_for(requester, session), 20)
    assert requester.remove(session, id="wish")["error"]["code"] == "owner_away"
    owner.send(signal.SIGCONT)
    wait_until(lambda: not requester.status(session).get("stale"), 20)
    requester.publish("cloud." + owner.cloud, {"op": "remove", "id": "late", "session": session})
    assert json.loads(requester.answers("remove", "late", timeout=30)[0])["status"] is True
    wait_until(lambda: not requester.redis.exists(KEYS + "wishes:" + owner.cloud), 20)
    assert owner.sessions() == {}
    assert requester.status(session)["status"] is False
    assert told(requester, session).count("session.removed") == 1


def test_a_removal_that_a_dead_daemon_left_is_told(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(own_redis), requester_on(own_redis)
    daemon.env["PYCLOUD_FAULT"] = "remove.stopped"
    daemon.start()
    session = requester.create(SLEEP)["id"]
    requester.publish("remove", {"id": "gone", "session": session})
    wait_until(lambda: not daemon.running)
    del daemon.env["PYCLOUD_FAULT"]
    daemon.start()
    assert json.loads(requester.answers("remove", "gone")[0])["status"] is True
    assert told(requester, session).count("session.removed") == 1


@pytest.mark.parametrize(("options", "first"), [({}, "cloud.up"), ({"draining": True}, "cloud.draining")])
def test_a_cloud_says_when_it_comes_and_goes(
    own_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, options: dict[str, object], first: str
) -> None:
    daemon, requester = daemon_on(own_redis, **options).start(), requester_on(own_redis)
    assert daemon.stop() == 0
    assert told(requester, daemon.cloud) == [first, "cloud.down"]
