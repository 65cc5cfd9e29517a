"""Starts that fail, and that leave nothing; starts side by side; records that cannot be used."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable

import pytest

from pycloud.runtimes.docker.cleanup import POLL_INTERVAL
from tests.support.docker_runtime import CLOUD, Failed, Host, new_session
from tests.support.engine import Engine
from tests.support.waiting import wait_until

HostOn = Callable[..., Host]


def left(engine: Engine, host: Host) -> dict[str, list[str]]:
    """What there is of any session."""
    return {"containers": engine.containers(), "records": host.files(), "volumes": engine.volumes()}


NOTHING: dict[str, list[str]] = {"containers": [], "records": [], "volumes": []}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"command": ["/no/such/program"]}, "no such file or directory"),
        ({"command": ["/no/such/program"], "volumes": ["/data"]}, "no such file or directory"),
        ({"user": "nobody-here"}, "unable to find user nobody-here"),
        ({"mem_limit": "1k"}, "emory limit"),
        ({"working_dir": "relative"}, "working directory"),
    ],
)
def test_a_failed_start_leaves_nothing(engine: Engine, host_on: HostOn, options: dict[str, object], words: str) -> None:
    host = host_on(engine)
    networks = engine.networks()
    with pytest.raises(Failed) as failed:
        host.start("box", **options)
    assert words in failed.value.message
    if failed.value.kind != "BadRequest":
        assert (failed.value.kind, failed.value.passing) == ("StartFailed", False)
    assert left(engine, host) == NOTHING
    assert engine.networks() == networks


def test_a_name_that_is_taken_is_left_alone(engine: Engine, host_on: HostOn) -> None:
    host, session = host_on(engine), new_session()
    engine.docker("create", "--name", f"pycloud_{session}", "box")
    with pytest.raises(Failed, match=r"StartFailed: .*already in use"):
        host.launch("box", session)[1].result(30)
    assert left(engine, host) == {**NOTHING, "containers": [f"pycloud_{session}"]}


def test_what_is_asked_for_is_checked_first(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    with pytest.raises(Failed, match="NotAllowed"):
        host.start("box", privileged=True)
    with pytest.raises(Failed, match="BadRequest"):
        host.start("box", no_such_option=True)
    assert left(engine, host) == NOTHING


def test_an_image_that_is_never_pulled(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine, docker_pull="never")
    with pytest.raises(Failed) as failed:
        host.start("no-such-image:1")
    assert (failed.value.kind, failed.value.passing) == ("ImageNotFound", True)
    assert "no-such-image:1" in failed.value.message
    assert host.progress == {}
    assert left(engine, host) == NOTHING
    assert host.start("box")


def test_many_at_once(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine, docker_parallel=2)
    started = [host.launch("box", port=[80, 81]) for _ in range(5)]
    ports = [port for _, answer in started for port in answer.result(60)["ports"].values()]
    assert len(set(ports)) == 10
    assert sorted(engine.containers(f"pycloud.cloud={CLOUD}")) == sorted(f"pycloud_{each}" for each, _ in started)
    stopped = [host.ask("stop", session, 0.1, {}) for session, _ in started]
    assert [answer.result(60) for answer in stopped] == [True] * 5
    assert engine.containers() == []


def test_a_daemon_that_dies_while_it_starts_sessions(engine: Engine, host_on: HostOn) -> None:
    """Whatever the engine makes of it: a session that runs is known, everything else is gone in the end."""
    host = host_on(engine)
    for containers in (0, 1, 3):
        for _ in range(3):
            host.launch("box")
        wait_until(lambda least=containers: len(engine.containers()) >= least)  # type: ignore[misc]
        host.kill()
        host.open()
        known = [f"pycloud_{each['session']}" for each in host.recovered]
        wait_until(lambda known=known: sorted(engine.containers()) == sorted(known), 2 * POLL_INTERVAL, host.log)  # type: ignore[misc]
        stages = [host.record(file.removesuffix(".json"))["stage"] for file in host.files()]
        assert stages.count("running") == len(known)
        assert set(stages) <= {"running", "undone"}
        for each in host.recovered:
            assert host.call("stop", each["session"], 0, {})
            host.call("forget", each["session"])
        assert engine.containers() == []


def test_a_record_that_makes_no_sense(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    session = host.start("box")
    host.kill()
    (host.data / "docker" / f"{session}.json").write_text('{"session": 1}')
    (host.data / "docker" / "torn.new").write_text("{")
    host.open()
    assert [each["session"] for each in host.recovered] == [session]
    assert host.files() == [f"{session}.bad", f"{session}.json"]
    assert "is not used: a field is missing or invalid" in host.log()


def test_a_full_disk(shared_engine: Engine, host_on: HostOn) -> None:
    engine = Engine()
    (engine.home / "root").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", engine.home / "root"], check=True)
    with engine:
        engine.image("box", ["sleep", "1000"])
        host = host_on(engine)
        filler = engine.home / "root" / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        with pytest.raises(Failed) as failed:
            host.start("box")
        assert (failed.value.kind, failed.value.passing) == ("StartFailed", True)
        assert "no space left on device" in failed.value.message
        filler.unlink()
        wait_until(lambda: left(engine, host) == NOTHING)
        assert host.start("box")
