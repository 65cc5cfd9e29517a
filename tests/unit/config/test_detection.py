"""What a node finds of its surroundings, and which settings that decides."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from pycloud.config import detection
from tests.support.fake_machine import Machine


def test_an_engine_is_usable_where_its_socket_is(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    assert not detection.engine_usable(f"unix://{path}")
    path.write_text("no socket")
    assert not detection.engine_usable(f"unix://{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert detection.engine_usable(f"unix://{path}")
    assert detection.engine_usable("tcp://engine.example.net:2376"), "nobody knows before it is asked"


def test_settled_settings_leave_nothing_open(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "engine_usable", lambda engine: engine == "unix:///one")
    monkeypatch.setattr(detection, "in_container", lambda: False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///one")
    settled = detection.resolve_auto(machine.load())
    assert (settled.docker_host, settled.runtime) == ("unix:///one", ("script", "docker"))
    settled = detection.resolve_auto(machine.load(docker_host="unix:///two"))
    assert (settled.docker_host, settled.runtime) == ("unix:///two", ("script",))
    monkeypatch.delenv("DOCKER_HOST")
    assert detection.resolve_auto(machine.load()).docker_host == detection.DEFAULT_ENGINE


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
    flags: dict[str, Any] = {"hostname": set_to} if set_to else {}
    config = machine.load(runtime="docker", **flags)
    assert detection.has_container_hostname(config) is nameless


@pytest.mark.parametrize(("runtime", "drives"), [("docker", True), ("script,docker", True), ("script", False)])
def test_a_container_that_was_put_there_to_drive_an_engine(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, runtime: str, drives: bool
) -> None:
    monkeypatch.setattr(detection, "in_container", lambda: True)
    assert detection.drives_engine(machine.load(runtime=runtime)) is drives
