"""Removes that come at a bad time: while a session starts, while its engine is away, while the daemon stops."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.support import image_registry as registries
from tests.support import requirements
from tests.support.daemon import Daemon
from tests.support.engine import Engine
from tests.support.event_listener import Events
from tests.support.image_registry import Registry
from tests.support.requester import Requester
from tests.support.waiting import wait_until

DockerOn = Callable[..., Daemon]
MEGABYTE = 1 << 20
BOX = "box\n{}"
LISTED = "{year4000.pycloud}:sessions"
LOST, BACK = "does not answer", "answers: version"


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    if reason := registries.missing():
        requirements.missing(reason)
    with Registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


def answer(requester: Requester, op: str, request_id: str) -> dict[str, object]:
    """The one answer to a request."""
    (only,) = requester.answers(op, request_id, 1, 30)
    found: dict[str, object] = json.loads(only)
    return found


def nothing_is_left(engine: Engine, cloud: Daemon, requester: Requester, session: str) -> bool:
    """Whether a session has come to nothing, with its create answered and its container gone."""
    refused = answer(requester, "create", "C")["error"]
    assert refused == {"code": "start_failed", "message": "the session was removed while it was starting"}
    assert requester.status(session)["status"] is False
    assert "Traceback" not in cloud.log()
    assert requester.redis.zcard(LISTED) == 0
    return engine.containers() == [] and list((cloud.data / "docker").iterdir()) == []


def test_while_the_container_starts(own_engine: Engine, docker_on: DockerOn, requester: Requester) -> None:
    with docker_on(own_engine) as cloud:
        events = Events(requester)
        own_engine.freeze()
        requester.publish("create", {"id": "C", "script": BOX})
        session = events.first("session.starting")["session"]
        for number in range(2):
            requester.publish("remove", {"id": f"R{number}", "session": session})
        assert requester.answers("remove", "R0", 1, 1) == [], "not while it may still come up"
        own_engine.thaw()
        for number in range(2):
            assert answer(requester, "remove", f"R{number}")["status"] is True
        assert own_engine.containers() == []
        assert nothing_is_left(own_engine, cloud, requester, session)
        assert events.names(session) == ["session.starting", "session.failed", "session.removed"]
        assert requester.create(BOX)["state"] == "running"


def test_while_its_image_is_pulled(
    engine: Engine, docker_on: DockerOn, requester: Requester, registry: Registry
) -> None:
    image = registry.fill(engine, "slow:1", 4 * MEGABYTE)
    registry.gate.allow(MEGABYTE)
    with docker_on(engine) as cloud:
        events = Events(requester)
        requester.publish("create", {"id": "C", "script": image + "\n{}"})
        session = events.first("session.pulling")["session"]
        assert requester.remove(session)["status"] is True, "the pull is not waited for"
        assert nothing_is_left(engine, cloud, requester, session)
        registry.gate.open()
        other = requester.create(image + "\n{}", id="another", timeout=30)
        assert engine.containers() == [f"pycloud_{other['id']}"], "and nothing comes of the first one later"
        assert requester.create(image + "\n{}", id="C")["error"]["code"] == "start_failed"
    engine.clear()
    engine.docker("rmi", image)


def test_while_it_starts_on_an_engine_that_is_lost(
    own_engine: Engine, docker_on: DockerOn, requester: Requester
) -> None:
    own_engine.restart(live_restore=True)
    with docker_on(own_engine) as cloud:
        events = Events(requester)
        own_engine.freeze()
        requester.publish("create", {"id": "C", "script": BOX})
        session = events.first("session.starting")["session"]
        requester.publish("remove", {"id": "R", "session": session})
        refused = answer(requester, "remove", "R")["error"]
        assert isinstance(refused, dict)
        assert refused["code"] == "engine_unavailable", "what it makes of the create is not known"
        own_engine.thaw()
        wait_until(lambda: cloud.log().count("its leftover container was removed") == 1, 20, cloud.log)
        assert nothing_is_left(own_engine, cloud, requester, session), "no other cloud was asked either"


def test_what_was_refused_is_not_carried_out_later(
    own_engine: Engine, docker_on: DockerOn, requester: Requester
) -> None:
    own_engine.restart(live_restore=True)
    with docker_on(own_engine) as cloud:
        stays, ends, goes = (requester.create(BOX)["id"] for _ in range(3))
        own_engine.stop()
        wait_until(lambda: LOST in cloud.log(), 20)
        for session in (stays, ends, goes):
            assert requester.remove(session)["error"]["code"] == "engine_unavailable"
        own_engine.start()
        wait_until(lambda: BACK in cloud.log(), 20)
        own_engine.docker("kill", f"pycloud_{ends}")
        own_engine.docker("rm", "--force", f"pycloud_{goes}")
        for session in (ends, goes):
            wait_until(lambda session=session: requester.status(session)["state"] == "exited")  # type: ignore[misc]
        cloud.stop()
        cloud.start()
        assert [requester.status(each)["state"] for each in (stays, ends, goes)] == ["running", "exited", "exited"]
        assert f"pycloud_{stays}" in own_engine.containers()
        assert requester.remove(stays)["status"] is True


def test_what_an_engine_does_after_it_was_given_up(
    own_engine: Engine, docker_on: DockerOn, requester: Requester
) -> None:
    """The remove is answered as not done, and then the engine does it after all."""
    with docker_on(own_engine, docker_timeout=1, stop_grace=1) as cloud:
        session = requester.create(BOX)["id"]
        own_engine.freeze()
        requester.publish("remove", {"id": "R", "session": session})
        refused = answer(requester, "remove", "R")["error"]
        assert isinstance(refused, dict)
        assert refused["code"] == "engine_unavailable"
        own_engine.thaw()
        wait_until(lambda: requester.status(session)["state"] == "exited", 20, cloud.log)
        assert requester.remove(session)["status"] is True


def test_removed_at_a_stop_while_the_engine_is_away(
    own_engine: Engine, docker_on: DockerOn, requester: Requester
) -> None:
    own_engine.restart(live_restore=True)
    with docker_on(own_engine, on_stop="remove", stop_grace=1) as cloud:
        session = requester.create(BOX)["id"]
        own_engine.stop()
        wait_until(lambda: LOST in cloud.log(), 20)
        assert cloud.stop() == 0
        cloud.start()
        wait_until(lambda: "cannot be removed yet" in cloud.log(), 10, cloud.log)
        own_engine.start()
        wait_until(lambda: own_engine.containers() == [], 20, cloud.log)
        wait_until(lambda: requester.redis.zcard(LISTED) == 0)
        assert requester.status(session)["status"] is False
        assert "Traceback" not in cloud.log()


def test_no_session_outlives_a_stop_by_a_grace_of_its_own(
    engine: Engine, docker_on: DockerOn, requester: Requester
) -> None:
    deaf = "box\n" + json.dumps({"stop_grace": 600, "stop_signal": "SIGTERM"})
    with docker_on(engine, on_stop="remove", stop_grace=1) as cloud:
        for _ in range(2):
            requester.create(deaf)
        assert cloud.stop() == 0
        assert engine.containers() == []
        assert "could not be removed" not in cloud.log()
        assert requester.redis.zcard(LISTED) == 0


def test_what_is_not_gone_in_time_is_gone_after_the_next_start(
    own_engine: Engine, docker_on: DockerOn, requester: Requester
) -> None:
    with docker_on(own_engine, on_stop="remove", stop_grace=1) as cloud:
        session = requester.create(BOX)["id"]
        own_engine.freeze()
        assert cloud.stop() == 0
        own_engine.thaw()
        assert LOST not in cloud.log() or "this node is stopping" not in cloud.log(), "the engine is not to blame"
        cloud.start()
        wait_until(lambda: own_engine.containers() == [], 20, cloud.log)
        assert requester.status(session)["status"] is False


def test_a_copy_removes_nothing_while_its_original_lives(
    engine: Engine, docker_on: DockerOn, requester: Requester
) -> None:
    with docker_on(engine) as original:
        session, copy = requester.create(BOX)["id"], docker_on(engine)
        shutil.copytree(original.data, copy.data, ignore=shutil.ignore_patterns("*.sock", "run", "lock"))
        shutil.rmtree(copy.data / "docker")
        # As the original would have one at this moment while it starts another session.
        half = "a" * 10 + original.cloud
        labels = [f"--label=pycloud.cloud={original.cloud}", f"--label=pycloud.session={half}"]
        engine.docker("create", "--name", f"pycloud_{half}", *labels, "box")
        copy.launch()
        wait_until(lambda: "another daemon uses this node's id" in copy.log(), 30, copy.log)
        assert sorted(engine.containers()) == sorted([f"pycloud_{session}", f"pycloud_{half}"])
        original.stop()
        wait_until(lambda: engine.containers() == [f"pycloud_{session}"], 30, copy.log)
