"""What a new keeper does about the journals and processes that it finds, however the last one ended."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pycloud.keeper import recovery
from pycloud.keeper.lifecycle.process_tree import SessionLeader
from pycloud.keeper.lifecycle.starter import Paths
from pycloud.keeper.operations import GRACE
from pycloud.keeper.recovery import StartupRecovery, remaining_grace
from pycloud.keeper.storage.journal import SessionEntry
from pycloud.keeper.storage.journal_store import JournalStore
from pycloud.keeper.system import procfs
from pycloud.keeper.system.procfs import Process

SESSION, OTHER = "0123456789" * 2, "f" * 20
BOOT, PID, START_TIME, PORT, NOW = "this boot", 10, 500, 40000, 2000.0
STARTING = {"starting": 1.0, "port": PORT, "record": {"request": "r"}}
RUNNING = {"running": 2.0, "pid": PID, "start_time": START_TIME, "boot_id": BOOT, "port": PORT}
ENDED = {"ended": 3.0, "exit_code": 7, "reason": None}
REMOVING = {"removing": NOW - 4.0, "note": {"request": "q"}, "grace": 10.0}
Line = dict[str, Any]


class Keeper:
    """A recovery with real journals on a simulated host; its calls of the other parts are recorded in order."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = Paths(data)
        self.paths.prepare()
        self.processes: list[Process] = []
        self.done: list[tuple[object, ...]] = []
        self.leaders: dict[str, SessionLeader] = {}
        self.journals = JournalStore(self.paths.state)
        monkeypatch.setattr(procfs, "scan", lambda: self.processes)
        monkeypatch.setattr(procfs, "boot_id", lambda: BOOT)
        monkeypatch.setattr(procfs, "get_process", lambda pid: {each.pid: each for each in self.processes}.get(pid))
        monkeypatch.setattr(recovery, "time", SimpleNamespace(time=lambda: NOW, monotonic=lambda: 1000.0))
        terminator = SimpleNamespace(terminate_leftovers=lambda *args: self.done.append(("end leftovers", *args)))
        operations = SimpleNamespace(
            erase=lambda session: self.done.append(("erase", session)),
            terminate_and_remove=lambda session, grace: self.done.append(("remove", session, grace)),
        )
        limiter = SimpleNamespace(add=lambda session, _now: self.done.append(("watch log", session)))
        remover = SimpleNamespace(remove=self._remove)
        tree = SimpleNamespace(leaders=self.leaders, add=lambda session, leader, _now: self._adopt(session, leader))
        parts = (self.paths, self.journals, tree, terminator, operations, limiter, remover)
        self.recovery = StartupRecovery(*cast(Any, parts))

    def found(self, *lines: Line, session: str = SESSION) -> None:
        """Write a journal, as the last keeper left it."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        Path(self.journals.path(session)).write_text(text)

    def lives(
        self, pid: int = PID, sid: int = PID, start_time: int = START_TIME, session: str | None = SESSION
    ) -> None:
        """Add a process that is alive."""
        self.processes.append(Process(pid, "S", 1, sid, sid, start_time, session))

    def recover(self) -> list[tuple[object, ...]]:
        self.recovery.run()
        return self.done

    def entry(self) -> SessionEntry:
        """The session according to its journal on disk."""
        again = JournalStore(self.paths.state)
        again.load()
        return again.entries[SESSION]

    def _adopt(self, session: str, leader: SessionLeader) -> None:
        self.done.append(("adopt", session))
        self.leaders[session] = leader

    def _remove(self, paths: list[str], _done: object) -> None:
        self.done.append(("remove files", *paths))


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    return Keeper(tmp_path, monkeypatch)


def test_a_session_that_is_alive_is_adopted_and_not_treated_as_a_child(keeper: Keeper) -> None:
    keeper.found(STARTING, RUNNING)
    keeper.lives()
    assert keeper.recover() == [("adopt", SESSION), ("watch log", SESSION)]
    assert keeper.leaders == {SESSION: SessionLeader(PID, START_TIME, is_child=False, port=PORT)}
    assert keeper.entry().state == "running"


@pytest.mark.parametrize(
    ("running", "reason"),
    [
        (RUNNING, "ended while no keeper was running; the exit code is unknown"),
        ({**RUNNING, "boot_id": "another boot"}, "the host was rebooted; the exit code is unknown"),
    ],
)
def test_a_pid_alone_does_not_identify_a_leader(keeper: Keeper, running: Line, reason: str) -> None:
    """Another process has it by now, possibly with the same start time if the host was rebooted."""
    keeper.found(STARTING, running)
    keeper.lives(start_time=START_TIME + (running is RUNNING), session=None)
    assert keeper.recover() == []
    entry = keeper.entry()
    assert (entry.state, entry.ended, entry.exit_code, entry.reason) == ("ended", NOW, None, reason)


def test_the_leftovers_of_a_dead_session_are_terminated_with_a_grace(keeper: Keeper) -> None:
    keeper.found(STARTING, RUNNING)
    keeper.lives(11, PID, START_TIME, session=None)
    keeper.lives(99, 99, session=OTHER)
    leader = SessionLeader(PID, START_TIME, is_child=False, port=PORT)
    assert keeper.recover() == [("end leftovers", SESSION, leader, GRACE)]


def test_an_exit_code_that_was_recorded_is_kept(keeper: Keeper) -> None:
    keeper.found(STARTING, RUNNING, ENDED)
    keeper.lives(start_time=START_TIME + 1, session=None)  # another process has its pid
    assert keeper.recover() == []
    entry = keeper.entry()
    assert (entry.state, entry.exit_code, entry.ended) == ("ended", 7, 3.0)


def test_a_session_whose_start_was_not_recorded_is_adopted_with_its_oldest_leader(keeper: Keeper) -> None:
    keeper.found(STARTING)
    keeper.lives(12, PID)
    keeper.lives(20, 20, START_TIME + 5)  # a daemon that the session started
    keeper.lives()
    assert keeper.recover() == [("adopt", SESSION), ("watch log", SESSION)]
    entry = keeper.entry()
    assert (entry.state, entry.pid, entry.start_time, entry.boot_id) == ("running", PID, START_TIME, BOOT)
    assert entry.port == PORT


def test_a_session_that_never_ran_is_erased(keeper: Keeper) -> None:
    keeper.found(STARTING)
    keeper.lives(99, 99, session=OTHER)
    assert keeper.recover() == [("erase", SESSION)]


def test_leftovers_of_a_start_without_a_leader_are_killed_before_the_session_is_erased(keeper: Keeper) -> None:
    keeper.found(STARTING)
    keeper.lives(12, PID)  # its leader has died meanwhile
    (ending, erasing) = keeper.recover()
    assert (ending[0], ending[1], ending[3]) == ("end leftovers", SESSION, 0.0)
    assert erasing == ("erase", SESSION)


@pytest.mark.parametrize("alive", [True, False])
def test_an_interrupted_removal_is_continued_with_the_rest_of_its_grace(keeper: Keeper, alive: bool) -> None:
    keeper.found(STARTING, RUNNING, REMOVING)
    if alive:
        keeper.lives()
    done = keeper.recover()
    assert done[-1] == ("remove", SESSION, 6.0)
    assert (("adopt", SESSION) in done) is alive
    assert keeper.entry().removal_note == {"request": "q"}, "the daemon finds there which request to answer"


@pytest.mark.parametrize(
    ("removing", "grace", "left"),
    [(NOW, 10.0, 10.0), (NOW - 4.0, 10.0, 6.0), (NOW - 60.0, 10.0, 0.0), (NOW + 3600.0, 10.0, 10.0), (None, 5.0, 5.0)],
)
def test_the_rest_of_a_grace_is_never_more_than_the_grace(removing: float | None, grace: float, left: float) -> None:
    """Whatever the clock was set to meanwhile."""
    assert remaining_grace(SessionEntry(SESSION, 1.0, removing=removing, grace=grace), NOW) == left


def test_a_removed_session_is_left_alone_until_it_is_forgotten(keeper: Keeper) -> None:
    keeper.found(STARTING, RUNNING, REMOVING, {"removed": NOW})
    keeper.lives(session=None)
    assert keeper.recover() == []
    assert keeper.journals.entries[SESSION].state == "removed"


def test_only_files_of_sessions_without_a_journal_are_removed(keeper: Keeper) -> None:
    keeper.found(STARTING, RUNNING, ENDED)
    unreadable, orphan = "e" * 20, "d" * 20
    keeper.found({"nonsense": 1}, session=unreadable)
    for name in (SESSION, unreadable, orphan, "lost+found"):
        (keeper.paths.data / "work" / name).mkdir()
        (keeper.paths.data / "logs" / f"{name}.log").touch()
    removed = [("remove files", keeper.paths.work(orphan)), ("remove files", keeper.paths.log(orphan))]
    assert keeper.recover() == removed
    assert keeper.journals.is_corrupt(unreadable), "nothing is known about that session"
