"""What a runtime finds when it starts: sessions that outlived the last one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.docker_runtime import Host, new_session
from tests.support.engine import Engine
from tests.support.waiting import wait_until

HostOn = Callable[..., Host]


def by_session(host: Host) -> dict[str, dict[str, Any]]:
    """What was recovered."""
    return {each["session"]: each for each in host.recovered}


def test_sessions_outlive_the_daemon(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    runs, web = host.launch("web", port=80)
    port = web.result(30)
    ends = host.start("box", command=["sh", "-c", "sleep 1; exit 5"])
    ended = host.start("box", command=["sh", "-c", "exit 6"])
    assert host.call("wait", ended)["exit_code"] == 6
    gone = host.start("box")
    host.call("annotate", runs, {"answered": True})
    host.kill()
    engine.docker("rm", "-f", f"pycloud_{gone}")
    wait_until(lambda: engine.inspect(f"pycloud_{ends}")["State"]["Status"] == "exited")
    host.open()
    found = by_session(host)
    assert set(found) == {runs, ends, ended, gone}
    assert (found[runs]["phase"], found[runs]["started"], found[runs]["exit"]) == ("running", port, None)
    assert found[runs]["record"]["answered"] is True
    assert found[runs]["record"]["request"] == "r" + runs
    assert [(found[each]["phase"], found[each]["exit"]["exit_code"]) for each in (ends, ended)] == [
        ("ended", 5),
        ("ended", 6),
    ]
    assert found[gone]["exit"]["exit_code"] is None
    assert host.call("wait", gone)["reason"] == "its container was removed by another client of the engine"
    assert host.call("wait", ends)["exit_code"] == 5
    engine.docker("kill", f"pycloud_{runs}")
    assert host.call("wait", runs)["exit_code"] == 137
    for session in found:
        host.call("forget", session)
    assert (engine.containers(), host.files()) == ([], [])


def test_a_removal_that_was_under_way(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    session = host.start("box", stop_signal="SIGTERM")
    host.ask("stop", session, 600, {"request": "x"})
    wait_until(lambda: host.record(session)["stage"] == "removing")
    host.kill()
    host.open()
    (found,) = host.recovered
    assert (found["phase"], found["removal"]) == ("removing", {"request": "x"})
    assert host.call("stop", session, 0, {"request": "y"}) is True
    assert host.record(session)["removal"] == {"request": "x"}
    assert engine.containers() == []
    host.kill()
    host.open()
    assert [each["phase"] for each in host.recovered] == ["removed"]
    assert host.call("stop", session, 0, {}) is True
    host.call("forget", session)
    assert host.files() == []


def test_containers_without_a_record_are_adopted(engine: Engine, host_on: HostOn) -> None:
    host, other = host_on(engine), new_session("beefbeef00")
    runs, asked = host.launch("web", port=["90/udp", 80])
    started = asked.result(30)
    ended = host.start("box", command=["sh", "-c", "exit 4"])
    host.call("wait", ended)
    labels = {"pycloud.cloud": "beefbeef00", "pycloud.session": other, "pycloud.record": "{}"}
    flags = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
    engine.docker("run", "--detach", "--name", f"pycloud_{other}", *flags, "box")
    host.kill()
    for file in host.files():
        (host.data / "docker" / file).unlink()
    host.open()
    found = by_session(host)
    assert set(found) == {runs, ended}
    assert found[runs]["started"] == started
    assert found[runs]["record"]["answered"] is True
    assert found[runs]["record"]["request"] == "r" + runs
    assert found[ended]["exit"]["exit_code"] == 4
    assert set(host.files()) == {f"{each}.json" for each in found}
    assert f"pycloud_{other}" in engine.containers()
    assert host.call("stop", other, 0, {}) is False


def test_starts_that_a_crash_cut_short(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    runs, made = host.start("box"), host.start("box")
    host.kill()
    engine.docker("rm", "-f", f"pycloud_{made}")
    labels = [f"--label=pycloud.cloud={host.cloud}", f"--label=pycloud.session={made}"]
    engine.docker("create", "--name", f"pycloud_{made}", *labels, "box")
    never = new_session()
    for session in (runs, made, never):
        record = {**host.record(runs), "session": session, "stage": "starting", "container": None, "started": None}
        (host.data / "docker" / f"{session}.json").write_text(json.dumps(record))
    host.open()
    assert [(each["session"], each["phase"]) for each in host.recovered] == [(runs, "running")]
    wait_until(lambda: engine.containers() == [f"pycloud_{runs}"])
    wait_until(lambda: host.record(never)["stage"] == "undone")  # the engine may make it yet
    engine.docker("create", "--name", f"pycloud_{never}", *labels[:1], f"--label=pycloud.session={never}", "box")
    wait_until(lambda: host.files() == [f"{runs}.json"])
    assert engine.containers() == [f"pycloud_{runs}"]
