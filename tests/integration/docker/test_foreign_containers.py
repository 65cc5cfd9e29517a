"""What carries a cloud's labels, or has its records, and is not its own: it is left alone, and does no harm."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.support.daemon import Daemon
from tests.support.docker_runtime import Host, new_session
from tests.support.engine import Engine
from tests.support.requester import Requester
from tests.support.waiting import wait_until

DockerOn = Callable[..., Daemon]
RECORD = {"request": "r", "digest": "d", "token": "t", "host": "h", "created": 1.5}


def labelled(engine: Engine, cloud: str, session: str, record: object, how: str = "run", name: str = "") -> str:
    """A container that somebody gave these labels, and a name; its name."""
    labels = {"cloud": cloud, "session": session, "record": json.dumps(record)}
    flags = [f"--label=pycloud.{name}={value}" for name, value in labels.items()]
    flags += ["--name", name or f"pycloud_{session}", *(["--detach"] if how == "run" else [])]
    made = engine.docker(how, *flags, "box")
    return engine.inspect(made)["Name"].strip("/")


def test_labels_that_are_not_ours(engine: Engine, host_on: Callable[..., Host]) -> None:
    host = host_on(engine)
    host.kill()
    odd = [("x", RECORD), ("a" * 20, RECORD), (new_session() + "a", RECORD)]
    odd += [(new_session(), {}), (new_session(), {**RECORD, "token": 1})]
    left = [labelled(engine, host.cloud, *each) for each in odd]
    left.append(labelled(engine, host.cloud, "b" * 20, RECORD, "create"))
    left += [labelled(engine, host.cloud, new_session(), RECORD, how, f"copy-{how}") for how in ("run", "create")]
    host.open()
    assert (host.recovered, host.files()) == ([], [])
    assert host.log().count("is ignored: its PyCloud label is invalid") >= 2
    own = host.start("box")
    assert sorted(engine.containers()) == sorted([*left, f"pycloud_{own}"])


def test_a_cloud_starts_whatever_labels_it_finds(engine: Engine, docker_on: DockerOn, requester: Requester) -> None:
    with docker_on(engine) as cloud:
        session = requester.create("box\n{}")["id"]
        cloud.kill()
        for record in ({}, {**RECORD, "request": 1, "digest": [], "created": "x"}):
            labelled(engine, cloud.cloud, new_session(cloud.cloud), record)
        labelled(engine, cloud.cloud, "abc", {})
        cloud.start()
        assert requester.status(session)["state"] == "running"
        assert "Traceback" not in cloud.log()


def test_a_container_of_an_image_that_was_made_of_a_session(
    engine: Engine, docker_on: DockerOn, requester: Requester
) -> None:
    """``docker commit`` puts the session's labels on the image, and so on whatever is run of that."""
    with docker_on(engine) as cloud:
        session = requester.create('box\n{"stop_signal": "SIGKILL"}')["id"]
        engine.docker("commit", f"pycloud_{session}", "snapshot")
        copy = engine.docker("run", "--detach", "snapshot")
        engine.docker("kill", copy)
        assert requester.status(session)["state"] == "running", "another one has ended"
        engine.docker("start", copy)
        cloud.kill()
        cloud.start()
        assert requester.remove(session)["status"] is True
        cloud.kill()
        cloud.start()
        assert requester.status(session)["status"] is False, "what others run of it is not the session"
        assert engine.inspect(copy)["State"]["Running"]
        other = requester.create("snapshot\n{}")
        labels = engine.inspect(f"pycloud_{other['id']}")["Config"]["Labels"]
        assert labels["pycloud.session"] == other["id"], "ours are over those of the image"
    engine.clear()
    engine.docker("rmi", "snapshot")


@pytest.mark.parametrize("how", ["--new-id", "removed"])
def test_a_copy_with_an_id_of_its_own_leaves_the_originals_sessions_alone(
    engine: Engine, docker_on: DockerOn, requester: Requester, how: str
) -> None:
    with docker_on(engine) as original:
        lives, ended = requester.create("box\n{}")["id"], requester.create('box\n{"command": ["true"]}')["id"]
        wait_until(lambda: requester.status(ended)["state"] == "exited")
        copy = docker_on(engine, remember=1)
        shutil.copytree(original.data, copy.data, ignore=shutil.ignore_patterns("*.sock", "run", "lock"))
        if how == "--new-id":
            subprocess.run([*copy.command[:2], "--data-dir", str(copy.data), "--new-id"], check=True)
        else:
            (copy.data / "cloud-id").unlink()
        with copy:
            third = requester.create('box\n{"command": ["true"]}', cloud=copy.cloud)["id"]
            name = f"pycloud_{third}"
            wait_until(lambda: name not in engine.containers(), 20, copy.log)  # what it has, it forgets by now
            assert sorted(engine.containers()) == sorted(f"pycloud_{each}" for each in (lives, ended))
            assert [requester.status(each)["state"] for each in (lives, ended)] == ["running", "exited"]
            assert requester.redis.hget(f"{{year4000.pycloud}}:session:{lives}", "state") == b"running"
