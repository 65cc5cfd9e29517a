"""The runtimes of one node as a single one, and which session lives in which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pycloud.config import Config
from pycloud.errors import StartFailed
from pycloud.runtimes import Exit, OutputReader, Phase, ReadFrom, RecoveredSession, Runtime, SessionSpec, Started, Usage
from pycloud.runtimes.composite import CompositeRuntime


class FakeRuntime(Runtime):
    """A runtime that notes what it is asked."""

    def __init__(self, kind: str, unavailable_reason: str | None = None) -> None:
        self.kind, self._unavailable_reason = kind, unavailable_reason
        self.calls: list[tuple[str, str]] = []
        self.on_recovered: Any = None

    def unavailable_reason(self) -> str | None:
        return self._unavailable_reason

    @classmethod
    def check(cls, config: Config) -> None:
        pass

    def host_name(self) -> str | None:
        return None

    def connect(self) -> None:
        self.calls.append(("open", ""))

    def disconnect(self) -> None:
        self.calls.append(("close", ""))

    def recover(self) -> list[RecoveredSession]:
        return [RecoveredSession(f"{self.kind}-old", Phase.RUNNING, {}, None, None, None)]

    def start_watching(self) -> None:
        self.calls.append(("begin", ""))

    def start(self, spec: SessionSpec) -> Started:
        self.calls.append(("start", spec.session))
        if spec.script == "fails":
            raise StartFailed("no")
        return Started(1, 2.0)

    def annotate(self, session: str, annotations: Mapping[str, Any]) -> None:
        self.calls.append(("note", session))

    def wait(self, session: str) -> Exit:
        return Exit(0, None, 0.0)

    def stop(self, session: str, grace: float, removal: Mapping[str, Any], max_grace: float = 0.0) -> bool:
        self.calls.append(("stop", session))
        return True

    def forget(self, session: str) -> None:
        self.calls.append(("forget", session))

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        return 0, self.kind.encode()

    def usage(self, session: str) -> Usage | None:
        return Usage(0.0, 1.0, 2, 3) if self.kind == "docker" else None

    def details(self, session: str) -> Mapping[str, Any]:
        return {"kind": self.kind}

    def follow(self, session: str, read_from: ReadFrom, once: bool, on_output: Callable[[], None]) -> OutputReader:
        raise NotImplementedError


def order(session: str, kind: str, script: str = "") -> SessionSpec:
    return SessionSpec(session, script, {}, 1, {}, kind)


def test_each_session_is_handed_to_the_runtime_that_it_lives_in() -> None:
    script, docker = FakeRuntime("script"), FakeRuntime("docker")
    both = CompositeRuntime([script, docker])
    assert [found.session for found in both.recover()] == ["script-old", "docker-old"]
    both.start(order("new", "docker"))
    for session in ("new", "docker-old"):
        assert both.tail(session, 9) == (0, b"docker")
        assert both.usage(session) == Usage(0.0, 1.0, 2, 3)
        assert both.details(session) == {"kind": "docker"}
    assert both.usage("script-old") is None
    both.stop("new", 0, {})
    both.forget("new")
    both.annotate("script-old", {})
    assert docker.calls == [("start", "new"), ("stop", "new"), ("forget", "new")]
    assert script.calls == [("note", "script-old")]


def test_what_is_found_later_is_placed_too() -> None:
    script, docker = FakeRuntime("script"), FakeRuntime("docker")
    both, reported = CompositeRuntime([script, docker]), list[str]()
    both.on_recovered(lambda found: reported.extend(each.session for each in found))
    docker.on_recovered([RecoveredSession("late", Phase.RUNNING, {}, None, None, None)])
    assert reported == ["late"]
    assert both.tail("late", 9) == (0, b"docker")


def test_a_start_that_failed_leaves_nothing() -> None:
    both = CompositeRuntime([FakeRuntime("script"), FakeRuntime("docker")])
    with pytest.raises(StartFailed):
        both.start(order("new", "docker", "fails"))
    assert both.tail("new", 9) == (0, b"script")


def test_kinds_and_troubles() -> None:
    both = CompositeRuntime([FakeRuntime("script"), FakeRuntime("docker", "the engine is away")])
    assert both.kinds == ("script", "docker")
    assert both.unavailable_kinds() == ("docker",)
    assert both.unavailable_reason("docker") == "the engine is away"
    assert (both.choose(("docker", "script")), both.choose(("swarm",))) == ("docker", None)
