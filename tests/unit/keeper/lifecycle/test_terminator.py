"""How a session is terminated, on a simulated host: which processes get which signals when, and which get none."""

from __future__ import annotations

import selectors
from collections.abc import Collection, Container, Iterator
from dataclasses import replace
from signal import SIGCONT, SIGKILL, SIGTERM, Signals

import pytest

from pycloud.keeper.lifecycle.process_tree import ProcessTree, SessionLeader
from pycloud.keeper.lifecycle.terminator import SIGKILL_TIMEOUT, STUCK_RETRY, Terminator
from pycloud.keeper.system import procfs
from pycloud.keeper.system.procfs import Process

SESSION, KEEPER, INIT, PORT = "s", 1000, 1, 40000
TERM, KILL = (SIGTERM, SIGCONT), (SIGKILL,)


class Host:
    """Processes by pid, a clock in seconds, and a keeper's terminator. ``signals`` are those sent, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, selector: selectors.BaseSelector) -> None:
        self.now = 1000.0
        self.processes: dict[int, Process] = {}
        self.signals: list[tuple[str, int, tuple[Signals, ...]]] = []
        self.scans = 0
        for name in ("ticks_now", "get_process", "environ_of", "scan", "orphans", "group_is_empty"):
            monkeypatch.setattr(procfs, name, getattr(self, name))
        monkeypatch.setattr(procfs, "signal_group", lambda pid, *sent: self.signals.append(("group", pid, sent)))
        monkeypatch.setattr(procfs, "signal_process", lambda one, *sent: self.signals.append(("pid", one.pid, sent)))
        self.tree = ProcessTree(selector, max_pidfds=0)
        self.finished: list[str] = []
        self.terminator = Terminator(self.tree, self.finished.append, lambda: self.now)

    def ticks_now(self) -> int:
        return int(self.now * 100)

    def get_process(self, pid: int) -> Process | None:
        return self.processes.get(pid)

    def environ_of(self, pid: int) -> bytes:
        return b"PYCLOUD_SESSION=%s\0" % (self.processes[pid].session or "").encode()

    def scan(self, _known_sids: Collection[int] = (), known_pids: Container[int] = ()) -> list[Process]:
        self.scans += 1
        return [each for each in self.processes.values() if not each.dead and each.pid not in known_pids]

    def orphans(self) -> list[int]:
        return [
            each.pid for each in self.processes.values() if each.parent == KEEPER and each.pid not in self.tree.by_pid
        ]

    def group_is_empty(self, group: int) -> bool:
        return all(each.group != group for each in self.processes.values())

    def run(self, pid: int, leader: int, session: str | None = SESSION, parent: int = KEEPER, group: int = 0) -> None:
        """Add a process that starts now, in the process session of ``leader``."""
        self.processes[pid] = Process(pid, "S", parent, group or leader, leader, self.ticks_now(), session)

    def start(self, pid: int = 10, *, is_child: bool = True) -> None:
        """Start the session's leader, as a child of this keeper or of an earlier one."""
        self.run(pid, pid, parent=KEEPER if is_child else INIT)
        self.tree.add(SESSION, SessionLeader(pid, self.ticks_now(), is_child, PORT), self.now)
        self.now += 1.0

    def leader_dies(self, pid: int = 10, grace: float = 10.0) -> None:
        """Let the leader die, as the reaper sees it: reported while it is a zombie, and reaped after that."""
        self.processes[pid] = replace(self.processes[pid], state="Z")
        self.terminator.leader_died(SESSION, grace)
        del self.processes[pid]
        self.terminator.check({SESSION})

    def wait(self, seconds: float) -> None:
        """Let time pass, and call the terminator whenever it is due."""
        end = self.now + seconds
        while (due := self.terminator.due()) is not None and due <= end:
            self.now = max(self.now, due)
            self.terminator.tick()
        self.now = end

    def taken(self) -> list[tuple[str, int, tuple[Signals, ...]]]:
        """The signals sent since the last call of this."""
        sent, self.signals = self.signals, []
        return sent


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with selectors.DefaultSelector() as selector:
        yield Host(monkeypatch, selector)


def test_sigterm_is_sent_first_and_sigkill_when_the_grace_is_over(host: Host) -> None:
    host.start()
    host.terminator.begin(SESSION, 10.0)
    assert host.taken() == [("group", 10, TERM)], "a stopped process would not handle SIGTERM alone"
    host.wait(9.9)
    assert host.taken() == [], "SIGTERM is sent once"
    host.wait(0.2)
    assert host.taken()[0] == ("pid", 10, KILL)
    assert host.finished == [], "it is still alive"


def test_a_session_of_one_process_is_terminated_without_a_scan(host: Host) -> None:
    host.start()
    calls: list[str] = []
    host.terminator.begin(SESSION, 10.0, lambda: calls.append("gone"))
    assert (SESSION in host.terminator, host.terminator.terminating_pids()) == (True, [10])
    host.leader_dies()
    assert (host.finished, calls, host.scans) == ([SESSION], ["gone"], 0)
    assert (host.tree.by_sid, host.tree.ports, len(host.terminator), host.terminator.due()) == ({}, {}, 0, None)
    assert host.taken() == [("group", 10, TERM)], "nothing is sent twice, or after the end"


@pytest.mark.parametrize("has_sigterm", [False, True])
def test_without_a_grace_a_session_is_killed_at_once(host: Host, has_sigterm: bool) -> None:
    host.start()
    if has_sigterm:
        host.terminator.begin(SESSION, 10.0)
        host.taken()
    host.terminator.begin(SESSION, 0.0)
    assert host.taken() == [("group", 10, KILL)]


def test_a_second_caller_can_shorten_the_grace_and_not_extend_it(host: Host) -> None:
    host.start()
    calls: list[int] = []
    for number, grace in enumerate((10.0, 2.0, 600.0)):
        host.terminator.begin(SESSION, grace, lambda number=number: calls.append(number))  # type: ignore[misc]
    host.taken()
    host.wait(1.9)
    assert host.taken() == []
    host.wait(0.2)
    assert host.taken()[0] == ("pid", 10, KILL)
    host.leader_dies()
    assert calls == [0, 1, 2], "each caller is called back once"


def test_the_leftovers_of_a_session_that_ends_get_sigterm_and_then_sigkill(host: Host) -> None:
    host.start()
    host.run(11, 10)  # in the group
    host.run(12, 12)  # in its own process session, found by its environment
    host.leader_dies(grace=5.0)
    assert host.taken() == [("group", 10, TERM)]
    host.wait(4.9)
    assert host.taken() == [("pid", 12, TERM)], "each process gets SIGTERM once"
    host.wait(0.2)
    assert set(host.taken()) == {("pid", 11, KILL), ("pid", 12, KILL)}
    del host.processes[11]
    host.terminator.check({SESSION})
    assert host.finished == []
    del host.processes[12]
    host.terminator.check({SESSION})
    assert host.finished == [SESSION]


def test_leftovers_of_a_session_that_is_being_terminated_have_the_rest_of_its_grace(host: Host) -> None:
    host.start()
    host.run(11, 10)
    host.terminator.begin(SESSION, 3.0)
    host.leader_dies(grace=60.0)
    assert host.taken() == [("group", 10, TERM)], "the group has had its SIGTERM"
    host.wait(3.1)
    assert ("pid", 11, KILL) in host.taken()


def test_a_process_that_started_after_the_sigterm_of_its_group_gets_its_own(host: Host) -> None:
    host.start()
    host.terminator.begin(SESSION, 10.0)
    host.now += 1.0
    host.run(11, 10)
    host.leader_dies()
    host.wait(1.0)
    assert host.taken() == [("group", 10, TERM), ("pid", 11, TERM)]


def test_processes_that_reuse_the_pid_of_the_leader_get_no_signal(host: Host) -> None:
    """They are an unrelated process session, which has the number by now."""
    host.start(is_child=False)
    del host.processes[10]
    host.now += 100.0
    host.run(10, 10, session=None, parent=INIT)
    host.run(11, 10, session=None, parent=INIT)
    host.terminator.begin(SESSION, 0.0)
    host.terminator.leader_died(SESSION, 0.0)
    host.wait(1.0)
    assert host.taken() == []
    assert host.finished == [SESSION]


def test_the_processes_of_an_adopted_session_are_found_by_a_scan(host: Host) -> None:
    host.start(is_child=False)
    host.run(11, 10, session=None, parent=10)  # it has cleared its environment
    host.run(99, 99, session="another", parent=INIT)
    host.terminator.begin(SESSION, 5.0)
    assert host.terminator.terminating_pids() == []
    host.wait(1.0)
    assert host.taken() == [("pid", 10, TERM), ("pid", 11, TERM)]
    host.wait(5.0)
    assert set(host.taken()) == {("pid", 10, KILL), ("pid", 11, KILL)}


def test_an_orphan_without_an_environment_delays_the_end_until_it_is_attributed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is being executed anew: for a moment it may belong to any session."""
    host.start()
    host.run(11, 11, session=None)
    environments = {11: b""}
    monkeypatch.setattr(procfs, "environ_of", environments.__getitem__)
    host.leader_dies()
    assert host.finished == []
    environments[11] = b"PYCLOUD_SESSION=another\0"
    host.wait(1.0)
    assert host.finished == [SESSION]
    assert ("pid", 11, TERM) not in host.taken()


def test_a_process_that_survives_sigkill_is_logged_once_and_retried_without_end(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.start()
    host.terminator.begin(SESSION, 0.0)
    host.wait(SIGKILL_TIMEOUT - 1.0)
    assert caplog.records == []
    host.wait(2.0)
    host.taken()
    host.wait(10 * STUCK_RETRY)
    assert host.taken() == [("pid", 10, KILL)] * 10, "at long intervals"
    assert [record.getMessage() for record in caplog.records] == [
        f"session {SESSION}: processes survive SIGKILL, will retry: 10"
    ]


def test_the_leftovers_of_a_session_that_ended_without_a_keeper_are_terminated(host: Host) -> None:
    host.run(11, 10, parent=INIT)
    host.run(99, 99, session=None, parent=INIT)
    host.terminator.terminate_leftovers(SESSION, SessionLeader(10, host.ticks_now() - 5, False), 1.0)
    host.wait(0.9)
    assert host.taken() == [("pid", 11, TERM)]
    host.wait(0.2)
    assert host.taken()[0] == ("pid", 11, KILL)
    del host.processes[11]
    host.wait(1.0)
    assert host.finished == [SESSION]
