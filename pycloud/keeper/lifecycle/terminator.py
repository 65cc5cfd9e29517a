"""Ends sessions: the first process, its group, and whatever left the group.

SIGTERM, some grace, SIGKILL, and again until nothing lives. The common case, a first process that is alone, costs no
look at other processes. Everything else happens in rounds that all endings share, so that one scan of /proc serves
them all.

May touch: the processes of the sessions it is told to end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from signal import SIGCONT, SIGKILL, SIGTERM

from pycloud.keeper.lifecycle import process_scan
from pycloud.keeper.lifecycle.process_scan import ProcessSnapshot
from pycloud.keeper.lifecycle.process_tree import ProcessTree, SessionLeader
from pycloud.keeper.system import procfs
from pycloud.keeper.system.procfs import Process

log = logging.getLogger(__name__)

MIN_BACKOFF, MAX_BACKOFF = 0.02, 0.2  # seconds
SIGKILL_TIMEOUT = 30.0  # seconds after SIGKILL before somebody should know
STUCK_RETRY = 5.0  # seconds between attempts after that
SCAN_REST_FACTOR = 4  # times as long as a look over many processes took, other things have their turn after it


@dataclass(slots=True)
class Termination:
    """One session on its way out. ``deadline`` is when SIGKILL comes, ``warned`` at which ticks its group was told."""

    session: str
    leader: SessionLeader
    deadline: float
    sigterm_ticks: int
    last_seen_ticks: int
    scanned: bool = False
    sigterm_sent: dict[int, int] = field(default_factory=dict)
    callbacks: list[Callable[[], None]] = field(default_factory=list)
    stuck: bool = False


class Terminator:
    """All endings under way. ``on_over`` is called with each session of which nothing lives any more."""

    def __init__(
        self, process_tree: ProcessTree, on_finished: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._process_tree = process_tree
        self._on_finished = on_finished
        self._clock = clock
        self._terminations: dict[str, Termination] = {}
        self._due: float | None = None
        self._backoff = MIN_BACKOFF
        self._round_duration = 0.0  # seconds that the last full round took
        self._unchecked: set[str] = set()  # sessions of which something has died since the last look
        self._next_orphan_scan = float("-inf")  # when the next look at orphans may be

    def __contains__(self, session: str) -> bool:
        return session in self._terminations

    def __len__(self) -> int:
        return len(self._terminations)

    def terminating_pids(self) -> list[int]:
        """Leaders of ours that were told to end, and have not yet."""
        leaders = self._process_tree.leaders
        return [
            each.leader.pid for each in self._terminations.values() if each.leader.is_child and each.session in leaders
        ]

    def begin(self, session: str, grace: float, then: Callable[[], None] | None = None) -> None:
        """End a session whose leader lives, or join its ending: the shorter grace (seconds) counts.

        ``then`` is called when nothing of it lives any more.
        """
        now = self._clock()
        termination = self._terminations.get(session)
        if termination is None:
            leader = self._process_tree.leaders[session]
            termination = self._add(session, leader, now + grace, _last_seen_ticks(leader))
            self._signal_leader(termination, now)
        elif now + grace < termination.deadline:
            termination.deadline = now + grace
            if now >= termination.deadline:
                self._signal_leader(termination, now)
        if then is not None:
            termination.callbacks.append(then)
        self._reset_backoff(now)

    def terminate_leftovers(self, session: str, leader: SessionLeader, grace: float) -> None:
        """End what is left of a session whose leader died while no keeper was watching."""
        self._add(session, leader, self._clock() + grace, leader.start_time)
        self._reset_backoff(self._clock())

    def leader_died(self, session: str, grace: float) -> None:
        """The leader is dead, and what it left gets SIGTERM and ``grace`` seconds, unless it was told already.

        When the leader is our child it must not have been waited for yet: so it still holds its number.
        """
        now = self._clock()
        leader = self._process_tree.remove_leader(session)
        termination = self._terminations.get(session)
        already_terminating = termination is not None
        if termination is None:
            termination = self._add(session, leader, now + grace, _last_seen_ticks(leader))
        termination.last_seen_ticks = max(termination.last_seen_ticks, _last_seen_ticks(leader))
        termination.scanned = False
        if leader.is_child and now >= termination.deadline:
            procfs.signal_group(leader.pid, SIGKILL)
        elif leader.is_child and not already_terminating:
            termination.sigterm_ticks = procfs.ticks_now()
            procfs.signal_group(leader.pid, SIGTERM, SIGCONT)

    def check(self, sessions: set[str]) -> None:
        """Something of these sessions has died: see what is left of them, at once or after a rest.

        Each look goes over all orphans. Where there are thousands, looking shall not be all we do: what dies meanwhile
        is looked at together.
        """
        self._unchecked |= sessions & self._terminations.keys()
        if self._unchecked and self._clock() >= self._next_orphan_scan:
            self._check()

    def due(self) -> float | None:
        """When ``tick`` wants to be called (monotonic seconds); None while nothing is being ended."""
        times = [] if self._due is None else [self._due]
        return min([*times, self._next_orphan_scan] if self._unchecked else times, default=None)

    def tick(self) -> None:
        """Look at what has died, or at all endings, and press on."""
        now = self._clock()
        if self._unchecked and now >= self._next_orphan_scan:
            self._check()
        if self._due is not None and now >= self._due:
            self._run_round(list(self._terminations.values()), quick=False)

    def _check(self) -> None:
        concerned = [self._terminations[session] for session in self._unchecked if session in self._terminations]
        self._unchecked = set()
        if concerned:
            self._run_round(concerned, quick=True)

    def _add(self, session: str, leader: SessionLeader, deadline: float, last_seen_ticks: int) -> Termination:
        termination = Termination(session, leader, deadline, sigterm_ticks=-1, last_seen_ticks=last_seen_ticks)
        self._terminations[session] = termination
        return termination

    def _reset_backoff(self, now: float) -> None:
        self._backoff = MIN_BACKOFF
        self._schedule_by(now + max(MIN_BACKOFF, SCAN_REST_FACTOR * self._round_duration))

    def _schedule_by(self, when: float) -> None:
        self._due = when if self._due is None else min(self._due, when)

    def _signal_leader(self, termination: Termination, now: float) -> None:
        """The first signal. An adopted leader's group is found by a scan, in the first round."""
        signals = (SIGKILL,) if now >= termination.deadline else (SIGTERM, SIGCONT)
        if termination.leader.is_child and termination.session in self._process_tree.leaders:
            termination.sigterm_ticks = procfs.ticks_now()
            procfs.signal_group(termination.leader.pid, *signals)

    def _run_round(self, terminations: list[Termination], quick: bool) -> None:
        """See to ``endings``; a ``quick`` round takes no survey but leaves what needs one to the next full round."""
        begun = self._clock()
        with_orphans, undetermined = self._process_tree.sessions_with_orphans(begun)
        scanned_at = self._clock()
        self._next_orphan_scan = scanned_at + SCAN_REST_FACTOR * (scanned_at - begun)
        snapshot: ProcessSnapshot | None = None
        for termination in terminations:
            if self._is_finished(termination, with_orphans, undetermined):
                self._finish(termination)
            elif not quick and self._needs_scan(termination, begun):
                snapshot = snapshot or self._scan()
                self._advance(termination, snapshot, undetermined, begun)
        self._schedule_next(begun, quick)

    def _scan(self) -> ProcessSnapshot:
        living = {leader.pid for leader in self._process_tree.leaders.values()}
        living -= {termination.leader.pid for termination in self._terminations.values()}
        return process_scan.scan(living, self._process_tree.by_pid)

    def _is_finished(self, termination: Termination, with_orphans: set[str], undetermined: bool) -> bool:
        """The cheap answer, for sessions that are our children."""
        if (
            not termination.leader.is_child
            or undetermined
            or termination.session in with_orphans
            or termination.session in self._process_tree.leaders
        ):
            return False
        return procfs.group_is_empty(termination.leader.pid)

    def _needs_scan(self, termination: Termination, now: float) -> bool:
        """A leader that was told, as were its strays, has until the deadline: there is nothing to look for."""
        return (
            termination.session not in self._process_tree.leaders
            or not termination.scanned
            or now >= termination.deadline
        )

    def _advance(self, termination: Termination, snapshot: ProcessSnapshot, undetermined: bool, now: float) -> None:
        alive = termination.session in self._process_tree.leaders
        termination.last_seen_ticks = (
            max(termination.last_seen_ticks, _last_seen_ticks(termination.leader))
            if alive
            else termination.last_seen_ticks
        )
        found = snapshot.members(termination.session, termination.leader.pid, termination.last_seen_ticks)
        termination.scanned = True
        if not found and not alive and not undetermined:
            self._finish(termination)
            return
        for process in found:
            self._signal_process(termination, process, now)
        if now > termination.deadline + SIGKILL_TIMEOUT and not termination.stuck:
            termination.stuck = True
            pids = ", ".join(str(p.pid) for p in found)
            log.warning("session %s does not die of SIGKILL, still trying: processes %s", termination.session, pids)

    def _signal_process(self, termination: Termination, process: Process, now: float) -> None:
        if now >= termination.deadline:
            procfs.signal_process(process, SIGKILL)
            return
        in_group = process.group == termination.leader.pid and process.start_time <= termination.sigterm_ticks
        if not in_group and termination.sigterm_sent.get(process.pid) != process.start_time:
            termination.sigterm_sent[process.pid] = process.start_time
            procfs.signal_process(process, SIGTERM, SIGCONT)

    def _finish(self, termination: Termination) -> None:
        del self._terminations[termination.session]
        self._process_tree.release(termination.session, termination.leader)
        self._on_finished(termination.session)
        for call in termination.callbacks:
            call()

    def _schedule_next(self, begun: float, quick: bool) -> None:
        """When to look again: soon at first, later slower, and never so often that looking is all we do."""
        if not self._terminations:
            self._due = None
            return
        now = self._clock()
        if quick:
            self._schedule_by(now + max(MIN_BACKOFF, SCAN_REST_FACTOR * self._round_duration))
            return
        self._round_duration = now - begun
        self._backoff = min(self._backoff * 1.5, MAX_BACKOFF)
        interval = max(self._backoff, SCAN_REST_FACTOR * self._round_duration)
        self._due = min(self._next_check(termination, now, interval) for termination in self._terminations.values())

    def _next_check(self, termination: Termination, now: float, interval: float) -> float:
        if termination.stuck:
            return now + STUCK_RETRY
        if self._needs_scan(termination, now):
            return min(now + interval, max(termination.deadline, now + MIN_BACKOFF))
        return termination.deadline


def _last_seen_ticks(leader: SessionLeader) -> int:
    """The latest ticks at which the leader certainly held its number: now, unless it is adopted and already gone."""
    now = procfs.ticks_now()
    if leader.is_child:
        return now
    process = procfs.get_process(leader.pid)
    return now if process is not None and process.start_time == leader.start_time else leader.start_time
