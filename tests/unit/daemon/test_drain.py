"""Whether a cloud takes anything new: what it was told last counts, in this daemon and the next."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pycloud.daemon import drain as draining
from pycloud.daemon.drain import DrainHandler
from pycloud.daemon.heartbeat import HeartbeatService
from pycloud.protocol.requests import DrainRequest
from pycloud.sessions.manager import SessionManager

CLOUD = "c" * 10


class Stub:
    """A cloud and its heartbeat: writes down what is said, in order."""

    def __init__(self, data: Path) -> None:
        self.said: list[tuple[object, ...]] = []
        self.draining = False
        self.identity, self.load = SimpleNamespace(id=CLOUD), 2
        self.session_store = SimpleNamespace(publish_event=lambda event: self.said.append(("event", event.event)))
        self.request_store = SimpleNamespace(
            publish_response=lambda op, _request, response: self.said.append((op, response))
        )
        beat = SimpleNamespace(publish=lambda: self.said.append(("beat", self.draining)))
        self.asked = DrainHandler(cast(SessionManager, self), cast(HeartbeatService, beat), data)

    def now(self) -> float:
        return 1000.0

    def told(self, draining: bool, cloud: str | None = None) -> Any:
        """The answer to being told so."""
        self.asked.drain(DrainRequest("r", draining=draining, cloud=cloud))
        return self.said[-1][1]


def test_others_hear_of_it_before_it_is_answered(tmp_path: Path) -> None:
    stub = Stub(tmp_path)
    answer = stub.told(True, CLOUD)
    assert (answer.status, answer.draining, answer.sessions, answer.kept) == (True, True, 2, True)
    assert [said[:2] for said in stub.said[:2]] == [("beat", True), ("event", "cloud.draining")]
    assert stub.told(False).draining is False
    assert [said[:2] for said in stub.said[3:5]] == [("beat", False), ("event", "cloud.up")]


def test_told_twice_it_says_nothing_new(tmp_path: Path) -> None:
    stub = Stub(tmp_path)
    stub.told(True)
    before = len(stub.said)
    assert stub.told(True).status is True
    assert [said[0] for said in stub.said[before:]] == ["drain"]


def test_who_is_not_meant_does_nothing(tmp_path: Path) -> None:
    stub = Stub(tmp_path)
    answer = stub.told(True, "d" * 10)
    assert (answer.status, answer.error.code, stub.draining) == (False, "no_match", False)
    assert draining.load_drain_flag(tmp_path) is None


def test_where_it_cannot_be_written_down_it_is_done_all_the_same(tmp_path: Path) -> None:
    stub = Stub(tmp_path / "gone")
    answer = stub.told(True)
    assert (answer.status, answer.kept, stub.draining) == (True, False, True)


@pytest.mark.parametrize("setting", [True, False])
@pytest.mark.parametrize("told", [True, False, None])
def test_what_was_told_counts_more_than_the_setting(tmp_path: Path, setting: bool, told: bool | None) -> None:
    if told is not None:
        Stub(tmp_path).told(told)
    cloud = SimpleNamespace(draining=False)
    draining.restore_drain_flag(cast(SessionManager, cloud), tmp_path, setting)
    assert cloud.draining is (setting if told is None else told)


@pytest.mark.parametrize("content", ["", "[]", "{}", "nonsense", "\x80"])
def test_what_makes_no_sense_counts_as_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / draining.DRAIN_FILE).write_text(content, encoding="latin-1")
    assert draining.load_drain_flag(tmp_path) is None
