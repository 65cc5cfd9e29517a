"""Terminates sessions: the first process, its group, and all processes that left the group.

SIGTERM, a grace, SIGKILL, and SIGKILL again until no process is left. The common case, a first process without others,
requires no scan of other processes. All other work is done in rounds shared by all terminations, so that one scan of
/proc serves all of them.

May touch: the processes of the sessions that it is called for.
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
SIGKILL_TIMEOUT = 30.0  # seconds after SIGKILL before a warning is logged
STUCK_RETRY = 5.0  # seconds between two attempts after that
SCAN_REST_FACTOR = 4  # pause after a scan of many processes, as a multiple of its duration: other work gets its turn


@dataclass(slots=True)
class Termination:
    """The termination of one session.

    ``deadline``: when SIGKILL is sent (monotonic seconds). ``sigterm_ticks``: when its process group got SIGTERM, -1
    before; ``last_seen_ticks``: when the leader certainly still held its pid (both in ticks since boot).
    ``sigterm_sent``: the start times of other processes that got SIGTERM, by pid.
    """

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
    """All terminations under way. ``on_finished`` is called with each session without any running process left."""

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
        self._unchecked: set[str] = set()  # sessions of which a process has died since the last check
        self._next_orphan_scan = float("-inf")  # earliest time of the next check of orphans (monotonic seconds)

    def __contains__(self, session: str) -> bool:
        return session in self._terminations

    def __len__(self) -> int:
        return len(self._terminations)

    def terminating_pids(self) -> list[int]:
        """Return the pids of leaders that are children of the keeper, are being terminated, and have not ended yet."""
        leaders = self._process_tree.leaders
        return [
            each.leader.pid for each in self._terminations.values() if each.leader.is_child and each.session in leaders
        ]

    def begin(self, session: str, grace: float, then: Callable[[], None] | None = None) -> None:
        """Terminate a session whose leader is alive, or join its termination: the shorter grace (seconds) applies.

        ``then`` is called when no process of it is left.
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
        """Terminate the remaining processes of a session whose leader died while no keeper was running."""
        self._add(session, leader, self._clock() + grace, leader.start_time)
        self._reset_backoff(self._clock())

    def leader_died(self, session: str, grace: float) -> None:
        """Handle a dead leader: its remaining processes get SIGTERM, unless they already did, and ``grace`` seconds.

        A leader that is a child must not have been reaped yet: so it still holds its pid.
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
        """Check the remaining processes of these sessions, of which a process has died: now or after a pause.

        Each check iterates over all orphans. Where there are thousands, checks must not take all the time of the
        keeper, so processes that die meanwhile are checked together.
        """
        self._unchecked |= sessions & self._terminations.keys()
        if self._unchecked and self._clock() >= self._next_orphan_scan:
            self._check()

    def due(self) -> float | None:
        """Return when ``tick`` is to be called (monotonic seconds); None while no session is being terminated."""
        times = [] if self._due is None else [self._due]
        return min([*times, self._next_orphan_scan] if self._unchecked else times, default=None)

    def tick(self) -> None:
        """Check sessions of which a process has died, or all terminations, and send the signals that are due."""
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
        """Send the first signal. The group of an adopted leader is found by a scan, in the first round."""
        signals = (SIGKILL,) if now >= termination.deadline else (SIGTERM, SIGCONT)
        if termination.leader.is_child and termination.session in self._process_tree.leaders:
            termination.sigterm_ticks = procfs.ticks_now()
            procfs.signal_group(termination.leader.pid, *signals)

    def _run_round(self, terminations: list[Termination], quick: bool) -> None:
        """Advance these terminations; a ``quick`` round leaves those that need a scan to the next full round."""
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
        """Return whether no process is left; without a scan, this is certain only for children of the keeper."""
        if (
            not termination.leader.is_child
            or undetermined
            or termination.session in with_orphans
            or termination.session in self._process_tree.leaders
        ):
            return False
        return procfs.group_is_empty(termination.leader.pid)

    def _needs_scan(self, termination: Termination, now: float) -> bool:
        """Return whether a scan is needed: not before the deadline, if the leader runs and its session got SIGTERM."""
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
            log.warning("session %s: processes survive SIGKILL, will retry: %s", termination.session, pids)

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
        """Schedule the next round: soon at first, then with backoff, and with pauses for other work."""
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
    """Return the latest ticks at which the leader certainly held its pid: now, unless it is adopted and has ended."""
    now = procfs.ticks_now()
    if leader.is_child:
        return now
    process = procfs.get_process(leader.pid)
    return now if process is not None and process.start_time == leader.start_time else leader.start_time
