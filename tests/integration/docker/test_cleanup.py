"""What has to go, where some of it does not, and what comes back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from tests.support.docker_runtime import Host
from tests.support.engine import Engine
from tests.support.waiting import wait_until

HostOn = Callable[..., Host]


@contextmanager
def wedged(engine: Engine, session: str) -> Iterator[None]:
    """Its container cannot be ended: what the engine ends it through is frozen."""
    shim = psutil.Process(engine.inspect(f"pycloud_{session}")["State"]["Pid"]).ppid()
    os.kill(shim, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(shim, signal.SIGCONT)


def doom(host: Host) -> list[str]:
    """Have all its sessions removed by the next daemon; in the order in which that one will come upon them."""
    host.kill()
    place = host.data / "docker"
    for name in host.files():
        (place / name).write_text(json.dumps({**json.loads((place / name).read_text()), "stage": "undone"}))
    return [path.stem for path in place.iterdir()]


def test_one_that_stays_holds_up_no_other(own_engine: Engine, host_on: HostOn) -> None:
    host = host_on(own_engine, docker_timeout=60)
    for _ in range(3):
        host.start("box")
    first, *_others = doom(host)
    with wedged(own_engine, first):
        host.open()
        wait_until(lambda: own_engine.containers() == [f"pycloud_{first}"], 20, host.log)
        assert host.files() == [f"{first}.json"]
    wait_until(lambda: host.files() == [], 20, host.log)
    assert own_engine.containers() == []


def test_started_again_by_somebody_else(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    ended, restarted, lives = (host.start("box") for _ in range(3))
    engine.docker("kill", f"pycloud_{ended}")
    assert host.call("wait", ended)["exit_code"] == 137
    engine.docker("start", f"pycloud_{ended}")
    engine.docker("restart", "--time", "0", f"pycloud_{restarted}")
    assert host.call("wait", restarted)["exit_code"] == 137

    def running() -> list[str]:
        return engine.docker("ps", "--format", "{{.Names}}").split()

    wait_until(lambda: running() == [f"pycloud_{lives}"], 20, host.log)
    assert host.log().count("its container was restarted after the session had ended") == 2
    assert [host.record(each)["stage"] for each in (ended, restarted, lives)] == ["ended", "ended", "running"]
    host.kill()
    engine.docker("start", f"pycloud_{ended}")
    host.open()
    wait_until(lambda: running() == [f"pycloud_{lives}"], 20, host.log)
    assert host.call("stop", ended, 0, {}) is True


def test_restarted_by_somebody_else_while_nobody_was_there(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    restarted, lives = host.start("web", port=80), host.start("web", port=80)
    host.kill()
    engine.docker("restart", "--time", "0", f"pycloud_{restarted}")
    host.open()
    end = host.call("wait", restarted)
    assert (end["exit_code"], end["reason"]) == (None, "its container was restarted by another client of the engine")
    wait_until(lambda: engine.docker("ps", "--format", "{{.Names}}") == f"pycloud_{lives}", 20, host.log)
    assert [host.record(each)["stage"] for each in (restarted, lives)] == ["ended", "running"]


def test_a_session_ends_once_whatever_policy_somebody_gave_its_container(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    seen, unseen = (
        host.start("box", command=["sh", "-c", "while [ ! -e /end ]; do sleep 0.05; done; exit 5"]) for _ in range(2)
    )
    for session in (seen, unseen):
        engine.docker("update", "--restart", "always", f"pycloud_{session}")
    engine.docker("exec", f"pycloud_{seen}", "touch", "/end")
    assert host.call("wait", seen)["exit_code"] == 5
    host.kill()
    engine.docker("exec", f"pycloud_{unseen}", "touch", "/end")
    wait_until(lambda: engine.inspect(f"pycloud_{unseen}")["State"]["Restarting"], 30)
    host.open()
    end = host.call("wait", unseen)
    again = (None, "its container was restarted by another client of the engine")  # by then it may run once more
    assert (end["exit_code"], end["reason"]) in ((5, None), again)
    wait_until(lambda: engine.docker("ps", "--quiet") == "", 20, host.log)
    assert [host.record(each)["stage"] for each in (seen, unseen)] == ["ended", "ended"]


def test_nothing_is_removed_before_it_is_known_that_there_is_no_other_daemon(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine, alone=False)
    half = "a" * 10 + host.cloud
    labels = [f"--label=pycloud.cloud={host.cloud}", f"--label=pycloud.session={half}"]
    engine.docker("create", "--name", f"pycloud_{half}", *labels, "box")
    host.kill()
    host.open()
    assert (engine.containers(), host.files()) == ([f"pycloud_{half}"], [])
    host.call("start_watching")
    wait_until(lambda: (engine.containers(), host.files()) == ([], []), 20, host.log)
