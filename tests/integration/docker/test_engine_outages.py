"""An engine that dies, freezes, is restarted or is not there yet: the runtime goes on, and soon knows the truth."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.docker_runtime import Failed, Host
from tests.support.engine import Engine
from tests.support.waiting import wait_until

HostOn = Callable[..., Host]
#: Seconds within which the truth is known again after an engine came back.
SOON = 5.0
LOST, BACK = "does not answer", "answers: version"


def available(host: Host) -> bool:
    return host.call("unavailable_reason") is None


def wait_lost(host: Host) -> None:
    wait_until(lambda: not available(host), 20)


def refused(host: Host) -> None:
    """A start is refused, at once, with the reason."""
    with pytest.raises(Failed) as failed:
        host.start("box")
    assert (failed.value.kind, failed.value.passing) == ("EngineUnavailable", True)
    assert host.settings["docker_host"] in failed.value.message


def test_an_engine_that_is_killed(own_engine: Engine, host_on: HostOn) -> None:
    host = host_on(own_engine)
    runs = host.start("box")
    own_engine.kill()
    wait_lost(host)
    refused(host)
    with pytest.raises(Failed, match="EngineUnavailable"):
        host.call("stop", runs, 0, {"why": "asked"})
    with pytest.raises(Failed, match="EngineUnavailable"):
        host.call("tail", runs, 10)
    assert (host.record(runs)["stage"], host.record(runs)["removal"]) == ("running", None), "it was not done"
    other = len(host.files())
    refused(host)
    assert len(host.files()) == other == 1
    own_engine.start()
    began = time.monotonic()
    wait_until(lambda: available(host))
    assert host.call("wait", runs)["exit_code"] == 137  # engines end what they find running, without live-restore
    assert time.monotonic() - began < SOON
    assert host.call("stop", runs, 0, {"why": "again"}) is True
    assert host.record(runs)["removal"] == {"why": "again"}
    assert host.start("box")
    assert (host.log().count(LOST), host.log().count(BACK)) == (1, 1)


def test_a_restart_ends_what_runs(own_engine: Engine, host_on: HostOn) -> None:
    host = host_on(own_engine)
    runs = host.start("box")
    own_engine.restart()
    began = time.monotonic()
    assert host.call("wait", runs)["exit_code"] == 137
    assert time.monotonic() - began < SOON
    wait_until(lambda: available(host))
    assert host.start("box")


def test_a_restart_with_live_restore(own_engine: Engine, host_on: HostOn) -> None:
    own_engine.restart(live_restore=True)
    host = host_on(own_engine)
    runs, ends = host.start("box"), host.start("polite", stop_signal="SIGTERM")
    pid = own_engine.inspect(f"pycloud_{ends}")["State"]["Pid"]
    own_engine.stop()
    wait_lost(host)
    _terminate(pid)
    own_engine.start()
    assert host.call("wait", ends)["exit_code"] == 7
    waiting = host.ask("wait", runs)
    wait_until(lambda: available(host))
    assert not waiting.done()
    assert host.call("stop", runs, 0, {}) is True


def test_a_frozen_engine(own_engine: Engine, host_on: HostOn) -> None:
    host = host_on(own_engine)
    runs = host.start("box", command=["sh", "-c", "trap 'exit 4' TERM; echo; while :; do sleep 0.05; done"])
    wait_until(lambda: host.call("tail", runs, 10)[1])
    pid = own_engine.inspect(f"pycloud_{runs}")["State"]["Pid"]
    own_engine.freeze()
    hung = [host.launch("box") for _ in range(2)]  # the engine does not look frozen yet
    for _, answer in hung:
        with pytest.raises(Failed, match="EngineUnavailable"):
            answer.result(30)
    wait_lost(host)
    refused(host)
    _terminate(pid)
    own_engine.thaw()
    began = time.monotonic()
    assert host.call("wait", runs)["exit_code"] == 4
    wait_until(lambda: available(host))
    assert time.monotonic() - began < SOON
    # The engine now does what it was asked before it froze; nobody wants that any more.
    wait_until(lambda: own_engine.containers() == [f"pycloud_{runs}"], 20)
    again = host.start("box")
    assert sorted(own_engine.containers()) == sorted(f"pycloud_{each}" for each in (runs, again))
    assert (host.log().count(LOST), host.log().count(BACK)) == (1, 1)


def test_a_call_that_takes_too_long(own_engine: Engine, host_on: HostOn) -> None:
    """The engine answers again before it counts as lost, and carries out the create that was given up."""
    host = host_on(own_engine, docker_timeout=1)
    own_engine.freeze()
    session, answer = host.launch("box")
    with pytest.raises(Failed, match="EngineUnavailable"):
        answer.result(30)
    assert host.record(session)["stage"] == "undone"
    own_engine.thaw()
    wait_until(lambda: "its leftover container was removed" in host.log(), 20, host.log)
    assert (own_engine.containers(), host.files()) == ([], [])


def test_no_engine_at_the_start(own_engine: Engine, host_on: HostOn) -> None:
    own_engine.restart(live_restore=True)
    host = host_on(own_engine)
    runs, ends, gone, removed = (host.start("box") for _ in range(4))
    ended = host.start("box", command=["sh", "-c", "exit 3"])
    host.call("wait", ended)
    host.call("stop", removed, 0, {"by": "me"})
    unknown = host.start("box")
    host.close()
    (host.data / "docker" / f"{unknown}.json").unlink()
    own_engine.docker("rm", "-f", f"pycloud_{gone}")
    own_engine.docker("kill", f"pycloud_{ends}")
    own_engine.stop()
    host.open()
    assert host.call("host_name") is None
    phases = {each["session"]: each["phase"] for each in host.recovered}
    assert phases == {runs: "running", ends: "running", gone: "running", removed: "removed", ended: "ended"}
    assert host.call("wait", ended)["exit_code"] == 3
    refused(host)
    assert not available(host)
    own_engine.start()
    began = time.monotonic()
    assert host.call("wait", ends)["exit_code"] == 137
    assert host.call("wait", gone)["exit_code"] is None
    wait_until(lambda: host.found)
    assert time.monotonic() - began < SOON
    assert [each["session"] for each in host.found] == [unknown]
    assert host.found[0]["record"]["answered"] is True
    assert host.call("stop", unknown, 0, {}) is True
    assert host.start("box")


def test_forgotten_while_the_engine_is_away(own_engine: Engine, host_on: HostOn) -> None:
    host = host_on(own_engine)
    ended = host.start("box", command=["true"])
    host.call("wait", ended)
    own_engine.stop()
    wait_lost(host)
    host.call("forget", ended)
    assert host.record(ended)["stage"] == "undone"
    own_engine.start()
    wait_until(lambda: host.files() == [], 20)
    assert own_engine.containers() == []


def _terminate(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
