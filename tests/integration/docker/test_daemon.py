"""Container sessions as requesters see them: a real daemon on a real engine, asked over Redis by publish alone."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.engine import Engine
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
WEB = 'web\n{"port": 80}'
DaemonOn = Callable[..., Daemon]


def containers(engine: Engine, cloud: Daemon) -> list[str]:
    """The names of a cloud's containers."""
    return engine.containers(f"pycloud.cloud={cloud.cloud}")


def test_a_web_server_from_publish_to_gone(
    engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    with docker_on(engine) as cloud:
        created = requester.create(WEB)
        assert created["state"] == "running"
        assert created["ports"] == {"80/tcp": created["port"]}
        with urllib.request.urlopen(f"http://{created['host']}:{created['port']}/", timeout=10) as page:
            assert page.read() == b"hello"
        asked = requester.status(created["id"])
        assert (asked["status"], asked["port"], asked["ports"]) == (True, created["port"], created["ports"])
        assert containers(engine, cloud) == [f"pycloud_{created['id']}"]
        assert requester.remove(created["id"])["status"] is True
        assert containers(engine, cloud) == []
        assert requester.status(created["id"])["status"] is False


def test_name_and_labels_are_kept_with_the_container(
    engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    with docker_on(engine) as cloud:
        session = requester.create("web\n{}", name="shop", labels={"app": "shop"})["id"]
        assert engine.containers("pycloud.name=shop") == engine.containers("pycloud.label.app=shop")
        assert containers(engine, cloud) == [f"pycloud_{session}"]
        for record in (cloud.data / "docker", None):
            cloud.kill()
            if record is not None:
                for file in record.iterdir():
                    file.unlink()  # what stands on the container is enough
            cloud.start()
            status = requester.status(session)
            assert (status["status"], status["name"], status["labels"]) == (True, "shop", {"app": "shop"})
        assert requester.create(WEB, name="shop")["error"]["code"] == "name_taken"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ('web\n{"privileged": true}', "not_allowed"),
        ('web\n{"prot": 80}', "bad_request"),
        ('web\n{"port": 80,}', "bad_request"),
        ("no/such:image\n{}", "image_not_found"),
        ('web\n{"command": ["no-such-program"]}', "start_failed"),
    ],
)
def test_what_is_refused_is_answered_and_leaves_nothing(
    engine: Engine, docker_on: Callable[..., Daemon], requester: Requester, script: str, code: str
) -> None:
    with docker_on(engine, docker_pull="never") as cloud:
        assert requester.create(script)["error"]["code"] == code
        assert containers(engine, cloud) == []
        assert requester.redis.zcard("{year4000.pycloud}:sessions") == 0


def test_clouds_of_both_kinds_share_one_redis(
    engine: Engine, docker_on: Callable[..., Daemon], daemon_on: DaemonOn, own_redis: RedisServer, requester: Requester
) -> None:
    scripts = daemon_on(own_redis, runtime="script").start()
    refused = requester.create(WEB)["error"]
    assert refused["code"] == "wrong_runtime"
    assert refused["message"] == (
        "this is a container image, but no eligible node has a container engine. "
        "Start Docker on one, or use --runtime script"
    )
    with docker_on(engine) as docker:
        answers = [requester.create(script) for script in (WEB, SLEEP) * 3]
        assert [answer["cloud"] for answer in answers] == [docker.cloud, scripts.cloud] * 3
        assert requester.create("box")["cloud"] == scripts.cloud, "a shell script of one word, where scripts are run"
        scripts.stop()
        assert requester.create("box")["cloud"] == docker.cloud
        assert requester.create(SLEEP)["error"]["code"] == "wrong_runtime"
        forced = {"op": "create", "id": "direct", "script": SLEEP, "runtime": "script"}
        requester.publish(f"cloud.{docker.cloud}", forced)
        assert json.loads(requester.answers("create", "direct")[0])["error"]["code"] == "wrong_runtime"


def test_one_cloud_may_run_both(engine: Engine, docker_on: Callable[..., Daemon], requester: Requester) -> None:
    with docker_on(engine, "script,docker") as cloud:
        sessions = [requester.create(script)["id"] for script in (WEB, SLEEP)]
        assert containers(engine, cloud) == [f"pycloud_{sessions[0]}"]
        rank = json.loads(requester.redis.get(f"{{year4000.pycloud}}:cloud:{cloud.cloud}") or b"")
        assert (rank["runtime"], rank["runtimes"]) == ("script", ["script", "docker"])
        sessions.append(requester.create("box", runtime="docker")["id"])
        assert f"pycloud_{sessions[2]}" in containers(engine, cloud), "a request may say what it is"
        cloud.kill()
        cloud.start()
        for session in sessions:
            assert requester.status(session)["state"] == "running"
            assert requester.remove(session)["status"] is True
        assert (containers(engine, cloud), cloud.sessions()) == ([], {})


def test_a_daemon_that_was_killed_knows_what_ended_meanwhile(
    engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    with docker_on(engine) as cloud:
        lives, ends = requester.create(WEB)["id"], requester.create("polite\n{}")["id"]
        cloud.kill()
        engine.docker("stop", f"pycloud_{ends}")
        cloud.start()
        assert requester.status(lives)["status"] is True
        ended = requester.status(ends)
        assert (ended["state"], ended["exit_code"]) == ("exited", 7)


def test_requesters_hear_how_a_session_ended(
    engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    hungry = "x=$(yes | head -c 100000000)"
    with docker_on(engine):
        ends = {
            "killed": {"mem_limit": "16m", "command": ["sh", "-c", f"{hungry}; {hungry}"]},
            "failed": {"command": ["sh", "-c", "exit 3"]},
        }
        sessions = [requester.create(f"box\n{json.dumps(options)}")["id"] for options in ends.values()]
        wait_until(lambda: all(requester.status(each)["state"] == "exited" for each in sessions), 20)
        killed, failed = (requester.status(each) for each in sessions)
        assert (killed["exit_code"], killed["reason"]) == (137, "out of memory")
        assert (failed["status"], failed["exit_code"], failed.get("reason")) == (False, 3, None)


def test_while_its_engine_is_away_a_cloud_refuses_containers_and_no_scripts(
    own_engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    with docker_on(own_engine, "script,docker") as cloud:
        session = requester.create(WEB)["id"]
        own_engine.stop()
        wait_until(lambda: requester.create(WEB)["error"]["code"] == "engine_unavailable", 20)
        assert requester.create(SLEEP)["state"] == "running"
        own_engine.start()
        wait_until(lambda: requester.status(session)["state"] == "exited", 20)
        wait_until(lambda: requester.create(WEB).get("state") == "running", 20)
        assert cloud.log().count("does not answer") == 1


def test_creates_go_to_the_cloud_whose_engine_answers(
    engine: Engine, own_engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    with docker_on(engine) as well, docker_on(own_engine, load_weight=0) as ill:
        own_engine.stop()
        answers = [requester.create("box\n{}", timeout=30) for _ in range(6)]
        assert {answer["cloud"] for answer in answers} == {well.cloud}, "and none of them is refused meanwhile"
        assert ill.running


def test_what_an_engine_can_only_tell_later_is_adopted_then(
    own_engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    own_engine.restart(live_restore=True)
    with docker_on(own_engine) as cloud:
        session = requester.create(WEB)["id"]
        cloud.kill()
        for record in (cloud.data / "docker").iterdir():
            record.unlink()
        own_engine.stop()
        cloud.start()
        assert requester.status(session)["status"] is False
        own_engine.start()
        wait_until(lambda: requester.status(session)["status"], 20)
        wait_until(lambda: requester.redis.zcard("{year4000.pycloud}:sessions") == 1)
        assert requester.redis.hget(f"{{year4000.pycloud}}:session:{session}", "state") == b"running"
        assert requester.remove(session)["status"] is True
        assert containers(own_engine, cloud) == []


def test_what_is_asked_of_a_session_while_its_engine_is_away_is_answered(
    own_engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    own_engine.restart(live_restore=True)
    with docker_on(own_engine) as cloud:
        session = requester.create(WEB)["id"]
        own_engine.freeze()
        assert requester.status(session)["state"] == "running", "the last that is known"
        assert requester.remove(session)["error"]["code"] == "engine_unavailable"
        requester.publish(f"cloud.{cloud.cloud}", {"op": "logs", "id": "l", "session": session})
        assert json.loads(requester.answers("logs", "l")[0])["error"]["code"] == "engine_unavailable"
        own_engine.thaw()
        wait_until(lambda: requester.remove(session)["status"], 20)
        assert containers(own_engine, cloud) == []


def test_sessions_are_ended_without_a_daemon_too(
    engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    cloud = docker_on(engine, "script,docker", on_stop="keep").start()
    script = requester.create(SLEEP)["id"]
    for _ in range(3):
        requester.create(WEB)
    engine.docker("rename", engine.containers("pycloud.session")[0], "renamed")
    engine.docker("commit", engine.containers("pycloud.session")[1], "snapshot")
    others = [engine.docker("run", "-d", image) for image in ("web", "snapshot")]
    cloud.kill()
    flags = ["--data-dir", str(cloud.data), "--docker-host", engine.host, "--stop", "--on-stop", "remove"]
    done = subprocess.run([*cloud.command[:2], *flags], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "sessions ended: 4\n"), done.stderr
    assert script not in cloud.sessions()
    assert list((cloud.data / "docker").iterdir()) == []
    left = engine.docker("ps", "--quiet", "--no-trunc").split()
    assert sorted(left) == sorted(others), "what is not ours is left alone"
    engine.clear()
    engine.docker("rmi", "snapshot")
    done = subprocess.run([*cloud.command[:2], *flags], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1


def test_a_cloud_without_the_engine_flag_says_what_it_does_not_look_after(
    engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    with docker_on(engine) as cloud:
        session = requester.create(WEB)["id"]
        cloud.kill()
        cloud.options["runtime"] = "script"
        cloud.start()
        assert f"1 container sessions are recorded in {cloud.data}" in cloud.log()
        cloud.stop()
        cloud.options["runtime"] = "auto"
        cloud.options["docker_host"] = "unix:///no/such/engine.sock"
        cloud.start()
        assert requester.status(session)["status"] is True, (
            "an engine may come later; what is recorded is not forgotten"
        )


def test_inspect_tells_what_the_engine_measures(
    engine: Engine, docker_on: Callable[..., Daemon], requester: Requester
) -> None:
    with docker_on(engine) as cloud:
        burning = 'box\n{"command": ["sh", "-c", "sleep 1000 & while :; do :; done"], "working_dir": "/tmp"}'
        session = requester.create(burning)["id"]

        def inspect() -> dict[str, Any]:
            return requester.ask_cloud(cloud.cloud, "inspect", session=session)

        wait_until(lambda: inspect().get("figures", {}).get("cpu_percent", 0) > 10, 30, lambda: str(inspect()))
        told = inspect()
        assert told["figures"]["processes"] == 2
        assert told["figures"]["cpu_seconds"] > 0
        assert told["figures"]["memory"] > 0
        details = told["details"]
        assert (details["image"], details["directory"], details["engine"]) == (
            "docker.io/library/box:latest",
            "/tmp",
            engine.host,
        )
        assert details["name"] == f"pycloud_{session}"
        engine.docker("kill", details["name"])
        wait_until(lambda: requester.status(session)["state"] == "exited")
        ended = inspect()
        assert (ended["status"], ended["details"]["image"]) == (False, details["image"])
        assert "figures" not in ended
