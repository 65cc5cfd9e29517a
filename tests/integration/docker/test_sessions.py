"""What a container session is: its ports, environment, output, end and removal."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException

import pytest

from tests.support.docker_runtime import CLOUD, Failed, Host
from tests.support.engine import Engine
from tests.support.waiting import wait_until

HostOn = Callable[..., Host]


def fetch(port: int) -> bytes:
    """What a web server on this host answers; empty while it does not listen yet: the engine's proxy resets then."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            body: bytes = answer.read()
    except (OSError, HTTPException):
        return b""
    return body


def taken(port: int, kind: socket.SocketKind) -> bool:
    """Whether somebody listens on a port of this host."""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


def test_the_engine_chooses_the_ports(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    _, web = host.launch("web", port=80)
    started = web.result(30)
    assert started["ports"] == {"80/tcp": started["port"]}
    assert wait_until(lambda: fetch(started["port"])) == b"hello"
    assert abs(started["started"] - time.time()) < 30
    _, udp = host.launch("box", port="9/udp")
    started = udp.result(30)
    assert started["ports"] == {"9/udp": started["port"]}
    assert taken(started["port"], socket.SOCK_DGRAM)
    _, several = host.launch("web", port=["90/udp", 80])
    started = several.result(30)
    assert list(started["ports"]) == ["90/udp", "80/tcp"]
    assert started["port"] == started["ports"]["90/udp"]
    assert wait_until(lambda: fetch(started["ports"]["80/tcp"])) == b"hello"
    _, none = host.launch("box")
    assert none.result(30)["port"] is None


def test_environment_and_labels(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    options = {"environment": {"A": "option", "B": "option"}, "labels": {"who": "me"}, "port": [80, "81/udp"]}
    session = host.start("box", {"B": "request"}, **options)
    inspected = engine.inspect(f"pycloud_{session}")
    environment = dict(each.split("=", 1) for each in inspected["Config"]["Env"])
    environment.pop("PATH", None)
    assert environment == {
        "A": "option",
        "B": "request",
        "PYCLOUD_SESSION": session,
        "PYCLOUD_CLOUD": CLOUD,
        "PYCLOUD_HOSTNAME": "h",
        "PYCLOUD_PORT": "80",
    }
    labels = inspected["Config"]["Labels"]
    assert labels.pop("pycloud.record")
    assert labels == {
        "who": "me",
        "pycloud.cloud": CLOUD,
        "pycloud.session": session,
        "pycloud.request": "r" + session,
        "pycloud.port": "80/tcp",
    }


@pytest.mark.parametrize("code", [0, 3])
def test_how_it_ended(engine: Engine, host_on: HostOn, code: int) -> None:
    host = host_on(engine)
    session = host.start("box", command=["sh", "-c", f"sleep 0.3; exit {code}"])
    end = host.call("wait", session)
    assert (end["exit_code"], end["reason"]) == (code, None)
    assert abs(end["ended"] - time.time()) < 30
    assert host.record(session)["stage"] == "ended"


def test_one_that_ends_at_once(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    started = [host.launch("box", command=["true"]) for _ in range(4)]
    for session, answer in started:
        answer.result(30)
        assert host.call("wait", session)["exit_code"] == 0


def test_out_of_memory(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    hungry = "x=$(yes | head -c 100000000)"
    session = host.start("box", mem_limit="16m", command=["sh", "-c", f"{hungry}; {hungry}"])
    end = host.call("wait", session)
    assert (end["exit_code"], end["reason"]) == (137, "out of memory")


def test_removed_by_somebody_else(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    session = host.start("box")
    engine.docker("rm", "-f", f"pycloud_{session}")
    assert host.call("wait", session)["reason"] == "its container was removed by another client of the engine"
    assert host.call("stop", session, 1, {}) is True
    host.call("forget", session)
    assert host.files() == []


def test_a_signal_and_its_grace(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    polite = host.start("polite", stop_signal="SIGTERM")
    wait_until(lambda: host.call("tail", polite, 100)[1])
    assert host.call("stop", polite, 10, {"why": 1}) is True
    assert host.call("wait", polite)["exit_code"] == 7
    signal = "trap 'exit 9' USR1; while :; do sleep 0.05; done"
    other = host.start("polite", stop_signal="SIGUSR1", command=["sh", "-c", f"echo; {signal}"])
    wait_until(lambda: host.call("tail", other, 100)[1])
    assert host.call("stop", other, 10, {})
    assert host.call("wait", other)["exit_code"] == 9
    deaf = host.start("box", stop_signal="SIGTERM", stop_grace=1)
    began = time.monotonic()
    assert host.call("stop", deaf, 50, {})
    assert 1 <= time.monotonic() - began < 25
    assert engine.containers() == []
    assert host.record(deaf)["stage"] == "removed"
    for session in (polite, other, deaf):
        assert host.call("stop", session, 10, {}) is True
        host.call("forget", session)
    assert host.call("stop", deaf, 10, {}) is False
    assert host.files() == []


def test_anonymous_volumes_go_with_it(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    before = engine.volumes()
    session, ended = host.start("box", volumes=["/data"]), host.start("box", volumes=["/data"], command=["true"])
    assert len(engine.volumes()) == len(before) + 2
    host.call("stop", session, 0, {})
    host.call("wait", ended)
    host.call("forget", ended)
    assert engine.volumes() == before
    assert engine.containers() == []


def test_its_output(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    loud = host.start("box", command=["sh", "-c", "echo one; sleep 0.2; echo two >&2"])
    host.call("wait", loud)
    assert host.call("tail", loud, 1000) == [0, "one\ntwo\n"]
    assert host.call("tail", loud, 5) == [3, "\ntwo\n"]
    lines = host.start("box", command=["sh", "-c", "yes | head -c 100000; echo end"])
    host.call("wait", lines)
    offset, text = host.call("tail", lines, 10000)
    assert text == "y\n" * 4998 + "end\n"
    assert offset <= 90004
    assert host.call("tail", lines, 200000)[0] == 0
    terminal = host.start("box", tty=True, command=["echo", "tty"])
    host.call("wait", terminal)
    assert host.call("tail", terminal, 1000) == [0, "tty\r\n"]
    with pytest.raises(Failed, match="FileNotFoundError"):
        host.call("tail", "nobody", 10)


def test_what_is_noted_is_kept(engine: Engine, host_on: HostOn) -> None:
    host = host_on(engine)
    session = host.start("box")
    host.call("annotate", session, {"answered": True})
    host.call("annotate", "nobody", {"answered": True})
    assert host.record(session)["record"]["answered"] is True
    assert host.call("host_name") == socket.gethostname()
    assert host.call("unavailable_reason") is None
    assert host.close() == 0
    assert engine.containers() == [f"pycloud_{session}"]
