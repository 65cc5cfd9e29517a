"""The operations of the keeper: what is in the journal before it acts, and when which request is answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pycloud.keeper.lifecycle.process_tree import SessionLeader
from pycloud.keeper.lifecycle.starter import Paths, StartRequest, running_line
from pycloud.keeper.operations import GRACE, Operations
from pycloud.keeper.storage.journal_store import JournalStore
from pycloud.keeper.system.exec_command import StartError

SESSION, NOTE = "0123456789" * 2, {"request": "r"}
START = {"script": "true", "env": {}, "hostname": "h", "cloud": "c", "sessions": 1, "record": {"name": "test"}}
Message = dict[str, Any]


class Keeper:
    """Operations with a real journal; their calls of the other parts are recorded, and done when the test wants it."""

    def __init__(self, data: Path) -> None:
        self.paths = Paths(data)
        self.paths.prepare()
        self.journals = JournalStore(self.paths.state)
        self.leaders: dict[str, SessionLeader] = {}
        self.start_error: StartError | None = None
        self.starts = 0
        self.events: list[Message] = []
        #: The sessions that are being terminated: the graces, and the callbacks.
        self.endings: dict[str, list[tuple[float, Callable[[], None] | None]]] = {}
        self.left: list[tuple[str, float]] = []
        #: The last line of the journal when the termination of a session was last requested.
        self.line_before: Message = {}
        self.removals: list[tuple[Sequence[str], Callable[[OSError | None], None]]] = []
        tree = SimpleNamespace(leaders=self.leaders, roots=lambda _session: [])
        limiter = SimpleNamespace(add=lambda *_args: None, max_bytes=0)
        remover = SimpleNamespace(remove=lambda paths, done: self.removals.append((paths, done)))
        parts = (self.paths, self.journals, tree, self, self, limiter, remover, self.events.append)
        self.operations = Operations(*cast(Any, parts))

    def start(self, request: StartRequest, _now: float) -> None:
        """Start a session, as the starter does."""
        self.starts += 1
        self.journals.create(request.session, {"starting": 1.0, "port": 1, "record": request.record})
        if self.start_error is not None:
            raise self.start_error
        self.journals.append(request.session, running_line(10, 5, 1))
        self.leaders[request.session] = SessionLeader(10, 5, True, 1)

    def begin(self, session: str, grace: float, then: Callable[[], None] | None = None) -> None:
        """Begin a termination, as the terminator does, except that nothing is terminated yet."""
        self.line_before = (self.lines() or [{}])[-1]
        self.endings.setdefault(session, []).append((grace, then))

    def leader_died(self, session: str, grace: float) -> None:
        self.left.append((session, grace))

    def __contains__(self, session: str) -> bool:
        return session in self.endings

    def __len__(self) -> int:
        return len(self.endings)

    def ask(self, op: str, **fields: Any) -> list[Message]:
        """The replies to a request: a list that grows as they come."""
        answers: list[Message] = []
        self.operations.handle({"op": op, "session": SESSION, **fields}, answers.append)
        return answers

    def stop(self, grace: float = 10.0, note: Message = NOTE) -> list[Message]:
        return self.ask("stop", grace=grace, note=note)

    def end(self, exit_code: int = 0) -> None:
        """Let the leader die, and all that it left."""
        del self.leaders[SESSION]
        self.operations.leader_ended(SESSION, exit_code, None)
        for _grace, then in self.endings.pop(SESSION, []):
            if then is not None:
                then()

    def removed(self, error: OSError | None = None) -> None:
        """Finish the oldest removal of files."""
        self.removals.pop(0)[1](error)

    def lines(self) -> list[Message]:
        """The lines of the journal on disk."""
        path = Path(self.journals.path(SESSION))
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def state(self) -> str | None:
        entry = self.journals.entries.get(SESSION)
        return None if entry is None else entry.state


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"op": "fly"}, "unknown operation 'fly'; the operations are hello"),
        ({"op": 1}, "op"),
        ({"op": "stop"}, "grace"),
    ],
)
def test_an_invalid_request_is_answered_with_what_is_wrong(keeper: Keeper, request_: Message, named: str) -> None:
    (answer,) = keeper.ask(**request_)
    assert answer["error"]["code"] == "bad_request"
    assert named in answer["error"]["message"]


def test_a_repeated_start_starts_nothing_more(keeper: Keeper) -> None:
    """The daemon repeats a start when the connection broke before the reply."""
    (first,), (again,) = keeper.ask("start", **START), keeper.ask("start", **START)
    assert first == again == {"pid": 10, "port": 1, "started": keeper.journals.entries[SESSION].running}
    assert keeper.starts == 1


def test_a_start_that_fails_is_undone_before_it_is_answered(keeper: Keeper) -> None:
    keeper.start_error = StartError("disk full", retryable=True)
    answers, again = keeper.ask("start", **START), keeper.ask("start", **START)
    assert (answers, again, keeper.starts, keeper.operations.busy()) == ([], [], 1, True)
    keeper.removed()
    refusal = {"error": {"code": "start_failed", "message": "disk full", "passing": True}}
    assert (answers, again) == ([refusal], [refusal])
    assert (keeper.state(), keeper.lines(), keeper.operations.busy()) == (None, [], False)
    keeper.start_error = None
    assert keeper.ask("start", **START)[0]["pid"] == 10, "it may be started anew"


def test_leftovers_of_a_failed_start_that_cannot_be_removed_are_removed_at_the_next_attempt(keeper: Keeper) -> None:
    keeper.start_error = StartError("disk full", retryable=False)
    answers = keeper.ask("start", **START)
    keeper.removed(OSError(5, "disk error"))
    assert [answer["error"]["message"] for answer in answers] == ["disk full"]
    assert keeper.ask("list") == [{"sessions": []}], "it never ran"
    answers = keeper.ask("start", **START)
    keeper.removed()
    assert answers[0]["error"]["message"] == "the files of an earlier attempt cannot be removed"
    assert (keeper.state(), keeper.starts) == (None, 1)


def test_a_stop_is_on_disk_before_the_first_signal_and_answered_when_the_files_are_gone(keeper: Keeper) -> None:
    keeper.ask("start", **START)
    answers = keeper.stop()
    assert (keeper.line_before["note"], keeper.line_before["grace"]) == (NOTE, 10.0)
    assert "removing" in keeper.line_before
    keeper.end()
    assert (answers, keeper.state()) == ([], "removing"), "its files still exist"
    assert list(keeper.removals[0][0]) == [keeper.paths.work(SESSION), keeper.paths.log(SESSION)]
    keeper.removed()
    assert (answers, keeper.state()) == ([{"found": True}], "removed")


def test_a_second_stop_joins_the_first_and_can_shorten_its_grace(keeper: Keeper) -> None:
    keeper.ask("start", **START)
    first, second = keeper.stop(600.0), keeper.stop(1.0, {"request": "another"})
    assert [grace for grace, _then in keeper.endings[SESSION]] == [600.0, 1.0]
    keeper.end()
    keeper.removed()
    assert (first, second, keeper.removals) == ([{"found": True}], [{"found": True}], [])
    assert keeper.journals.entries[SESSION].removal_note == NOTE, "that of the stop which began it"


def test_a_stop_finds_a_session_that_was_removed_before_but_no_unknown_one(keeper: Keeper) -> None:
    assert keeper.stop() == [{"found": False}]
    keeper.ask("start", **START)
    keeper.stop()
    keeper.end()
    keeper.removed()
    assert keeper.stop() == [{"found": True}]
    assert keeper.removals == []


def test_a_removal_that_fails_is_answered_with_an_error_and_continued_by_the_next_stop(keeper: Keeper) -> None:
    keeper.ask("start", **START)
    keeper.end()
    answers = keeper.stop()
    keeper.removed(OSError(16, "busy"))
    assert [answer["error"]["code"] for answer in answers] == ["not_removed"]
    assert (keeper.state(), keeper.operations.busy()) == ("removing", False)
    assert len([line for line in keeper.lines() if "removing" in line]) == 1
    again = keeper.stop()
    keeper.removed()
    assert (again, keeper.state()) == ([{"found": True}], "removed")
    assert len([line for line in keeper.lines() if "removing" in line]) == 1, "it began once"


def test_the_end_of_a_session_is_recorded_and_emitted_and_its_leftovers_are_terminated(keeper: Keeper) -> None:
    keeper.ask("start", **START)
    keeper.end(3)
    assert keeper.lines()[-1]["exit_code"] == 3
    (event,) = keeper.events
    assert (event["event"], event["session"], event["exit_code"]) == ("ended", SESSION, 3)
    assert keeper.left == [(SESSION, GRACE)]


def test_the_end_of_a_session_that_is_being_removed_is_emitted_and_not_written_to_disk(keeper: Keeper) -> None:
    keeper.ask("start", **START)
    keeper.stop()
    keeper.end(143)
    assert "removing" in keeper.lines()[-1], "its exit code is not needed any more"
    assert [event["exit_code"] for event in keeper.events] == [143]
    assert keeper.journals.entries[SESSION].exit_code == 143


def test_only_a_session_that_has_ended_is_forgotten(keeper: Keeper) -> None:
    assert keeper.ask("forget") == [{}], "there is nothing to forget"
    keeper.ask("start", **START)
    assert keeper.ask("forget")[0]["error"]["code"] == "alive"
    keeper.end()
    answers, again = keeper.ask("forget"), keeper.ask("forget")
    keeper.removed()
    assert (answers, again, keeper.state(), keeper.lines()) == ([{}], [{}], None, [])


def test_forgetting_a_removed_session_erases_its_journal(keeper: Keeper) -> None:
    keeper.ask("start", **START)
    keeper.ask("note", note={"answered": True})
    keeper.stop()
    keeper.end()
    keeper.removed()
    (entry,) = keeper.ask("list")[0]["sessions"]
    assert entry["record"] == {"name": "test", "answered": True}
    assert keeper.ask("forget") == [{}]
    assert (keeper.removals, keeper.lines()) == ([], [])
    assert keeper.ask("note", note={})[0]["error"]["code"] == "not_found"
