"""The runtimes of one cloud as a single one, and what is chosen where."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pycloud.config import detection
from pycloud.errors import StartFailed
from pycloud.runtimes import Exit, Found, Order, Phase, Started, Usage
from pycloud.runtimes.composite import Runtimes
from tests.support.settings import Machine


class Part:
    """A runtime that notes what it is asked."""

    def __init__(self, kind: str, trouble: str | None = None) -> None:
        self.kind, self._trouble = kind, trouble
        self.asked: list[tuple[str, str]] = []
        self.on_found: Any = None

    def trouble(self) -> str | None:
        return self._trouble

    def host_name(self) -> str | None:
        return None

    def open(self) -> None:
        self.asked.append(("open", ""))

    def close(self) -> None:
        self.asked.append(("close", ""))

    def recover(self) -> list[Found]:
        return [Found(f"{self.kind}-old", Phase.RUNNING, {}, None, None, None)]

    def begin(self) -> None:
        self.asked.append(("begin", ""))

    def start(self, order: Order) -> Started:
        self.asked.append(("start", order.session))
        if order.script == "fails":
            raise StartFailed("no")
        return Started(1, 2.0)

    def note(self, session: str, note: Mapping[str, Any]) -> None:
        self.asked.append(("note", session))

    def wait(self, session: str) -> Exit:
        return Exit(0, None, 0.0)

    def stop(self, session: str, grace: float, note: Mapping[str, Any], at_most: float = 0.0) -> bool:
        self.asked.append(("stop", session))
        return True

    def forget(self, session: str) -> None:
        self.asked.append(("forget", session))

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        return 0, self.kind.encode()

    def usage(self, session: str) -> Usage | None:
        return Usage(0.0, 1.0, 2, 3) if self.kind == "docker" else None

    def details(self, session: str) -> Mapping[str, Any]:
        return {"kind": self.kind}


def order(session: str, kind: str, script: str = "") -> Order:
    return Order(session, script, {}, 1, {}, kind)


def test_each_session_is_handed_to_the_runtime_that_it_lives_in() -> None:
    script, docker = Part("script"), Part("docker")
    both = Runtimes([script, docker])
    assert [found.session for found in both.recover()] == ["script-old", "docker-old"]
    both.start(order("new", "docker"))
    for session in ("new", "docker-old"):
        assert both.tail(session, 9) == (0, b"docker")
        assert both.usage(session) == Usage(0.0, 1.0, 2, 3)
        assert both.details(session) == {"kind": "docker"}
    assert both.usage("script-old") is None
    both.stop("new", 0, {})
    both.forget("new")
    both.note("script-old", {})
    assert docker.asked == [("start", "new"), ("stop", "new"), ("forget", "new")]
    assert script.asked == [("note", "script-old")]


def test_what_is_found_later_is_placed_too() -> None:
    script, docker = Part("script"), Part("docker")
    both, reported = Runtimes([script, docker]), list[str]()
    both.on_found(lambda found: reported.extend(each.session for each in found))
    docker.on_found([Found("late", Phase.RUNNING, {}, None, None, None)])
    assert reported == ["late"]
    assert both.tail("late", 9) == (0, b"docker")


def test_a_start_that_failed_leaves_nothing() -> None:
    both = Runtimes([Part("script"), Part("docker")])
    with pytest.raises(StartFailed):
        both.start(order("new", "docker", "fails"))
    assert both.tail("new", 9) == (0, b"script")


def test_kinds_and_troubles() -> None:
    both = Runtimes([Part("script"), Part("docker", "the engine is away")])
    assert both.kinds == ("script", "docker")
    assert both.unavailable() == ("docker",)
    assert both.trouble("docker") == "the engine is away"
    assert (both.choose(("docker", "script")), both.choose(("swarm",))) == ("docker", None)


def test_an_engine_is_usable_where_its_socket_is(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    assert not detection.usable(f"unix://{path}")
    path.write_text("no socket")
    assert not detection.usable(f"unix://{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert detection.usable(f"unix://{path}")
    assert detection.usable("tcp://engine.example.net:2376"), "nobody knows before it is asked"


def test_settled_settings_leave_nothing_open(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "usable", lambda engine: engine == "unix:///one")
    monkeypatch.setattr(detection, "in_container", lambda: False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///one")
    settled = detection.settled(machine.load())
    assert (settled.docker_host, settled.runtime) == ("unix:///one", ("script", "docker"))
    settled = detection.settled(machine.load(docker_host="unix:///two"))
    assert (settled.docker_host, settled.runtime) == ("unix:///two", ("script",))
    monkeypatch.delenv("DOCKER_HOST")
    assert detection.settled(machine.load()).docker_host == detection.DEFAULT_ENGINE


@pytest.mark.parametrize(
    ("name", "set_to", "inside", "nameless"),
    [
        ("0123456789ab", "", True, True),
        ("0123456789ab", "", False, False),
        ("game7", "", True, False),
        ("0123456789ab", "game7", True, False),
    ],
)
def test_only_a_container_that_nobody_named_asks_the_engine_for_a_name(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str, set_to: str, inside: bool, nameless: bool
) -> None:
    monkeypatch.setattr(detection, "in_container", lambda: inside)
    machine.name = name
    config = machine.load(runtime="docker", **({"hostname": set_to} if set_to else {}))
    assert detection.nameless(config) is nameless


@pytest.mark.parametrize(("runtime", "drives"), [("docker", True), ("script,docker", True), ("script", False)])
def test_a_container_that_was_put_there_to_drive_an_engine(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, runtime: str, drives: bool
) -> None:
    monkeypatch.setattr(detection, "in_container", lambda: True)
    assert detection.drives_engine(machine.load(runtime=runtime)) is drives
