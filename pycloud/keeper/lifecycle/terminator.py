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
from pycloud.keeper.lifecycle.process_scan import Survey
from pycloud.keeper.lifecycle.process_tree import Family, Leader
from pycloud.keeper.system import procfs
from pycloud.keeper.system.procfs import Process

log = logging.getLogger(__name__)

FIRST_ROUND, SLOWEST_ROUND = 0.02, 0.2  # seconds
PATIENCE = 30.0  # seconds after SIGKILL before somebody should know
HOPELESS_ROUND = 5.0  # seconds between attempts after that
REST = 4  # times as long as a look over many processes took, other things have their turn after it


@dataclass(slots=True)
class Ending:
    """One session on its way out. ``deadline`` is when SIGKILL comes, ``warned`` at which ticks its group was told."""

    session: str
    leader: Leader
    deadline: float
    warned: int
    seen: int
    surveyed: bool = False
    told: dict[int, int] = field(default_factory=dict)
    then: list[Callable[[], None]] = field(default_factory=list)
    complained: bool = False


class Endings:
    """All endings under way. ``on_over`` is called with each session of which nothing lives any more."""

    def __init__(
        self, family: Family, on_over: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._family = family
        self._on_over = on_over
        self._clock = clock
        self._endings: dict[str, Ending] = {}
        self._due: float | None = None
        self._pause = FIRST_ROUND
        self._cost = 0.0  # seconds that the last full round took
        self._unchecked: set[str] = set()  # sessions of which something has died since the last look
        self._rested = float("-inf")  # when the next look at orphans may be

    def __contains__(self, session: str) -> bool:
        return session in self._endings

    def __len__(self) -> int:
        return len(self._endings)

    def awaited(self) -> list[int]:
        """Leaders of ours that were told to end, and have not yet."""
        leaders = self._family.leaders
        return [each.leader.pid for each in self._endings.values() if each.leader.ours and each.session in leaders]

    def begin(self, session: str, grace: float, then: Callable[[], None] | None = None) -> None:
        """End a session whose leader lives, or join its ending: the shorter grace (seconds) counts.

        ``then`` is called when nothing of it lives any more.
        """
        now = self._clock()
        ending = self._endings.get(session)
        if ending is None:
            leader = self._family.leaders[session]
            ending = self._add(session, leader, now + grace, _seen(leader))
            self._press_leader(ending, now)
        elif now + grace < ending.deadline:
            ending.deadline = now + grace
            if now >= ending.deadline:
                self._press_leader(ending, now)
        if then is not None:
            ending.then.append(then)
        self._hurry(now)

    def leftovers(self, session: str, leader: Leader, grace: float) -> None:
        """End what is left of a session whose leader died while no keeper was watching."""
        self._add(session, leader, self._clock() + grace, leader.start_time)
        self._hurry(self._clock())

    def leader_died(self, session: str, grace: float) -> None:
        """The leader is dead, and what it left gets SIGTERM and ``grace`` seconds, unless it was told already.

        When the leader is our child it must not have been waited for yet: so it still holds its number.
        """
        now = self._clock()
        leader = self._family.leader_gone(session)
        ending = self._endings.get(session)
        told = ending is not None
        if ending is None:
            ending = self._add(session, leader, now + grace, _seen(leader))
        ending.seen = max(ending.seen, _seen(leader))
        ending.surveyed = False
        if leader.ours and now >= ending.deadline:
            procfs.send_group(leader.pid, SIGKILL)
        elif leader.ours and not told:
            ending.warned = procfs.ticks_now()
            procfs.send_group(leader.pid, SIGTERM, SIGCONT)

    def check(self, sessions: set[str]) -> None:
        """Something of these sessions has died: see what is left of them, at once or after a rest.

        Each look goes over all orphans. Where there are thousands, looking shall not be all we do: what dies meanwhile
        is looked at together.
        """
        self._unchecked |= sessions & self._endings.keys()
        if self._unchecked and self._clock() >= self._rested:
            self._check()

    def due(self) -> float | None:
        """When ``tick`` wants to be called (monotonic seconds); None while nothing is being ended."""
        times = [] if self._due is None else [self._due]
        return min([*times, self._rested] if self._unchecked else times, default=None)

    def tick(self) -> None:
        """Look at what has died, or at all endings, and press on."""
        now = self._clock()
        if self._unchecked and now >= self._rested:
            self._check()
        if self._due is not None and now >= self._due:
            self._round(list(self._endings.values()), quick=False)

    def _check(self) -> None:
        concerned = [self._endings[session] for session in self._unchecked if session in self._endings]
        self._unchecked = set()
        if concerned:
            self._round(concerned, quick=True)

    def _add(self, session: str, leader: Leader, deadline: float, seen: int) -> Ending:
        ending = Ending(session, leader, deadline, warned=-1, seen=seen)
        self._endings[session] = ending
        return ending

    def _hurry(self, now: float) -> None:
        self._pause = FIRST_ROUND
        self._look_by(now + max(FIRST_ROUND, REST * self._cost))

    def _look_by(self, when: float) -> None:
        self._due = when if self._due is None else min(self._due, when)

    def _press_leader(self, ending: Ending, now: float) -> None:
        """The first signal. An adopted leader's group is found by a scan, in the first round."""
        signals = (SIGKILL,) if now >= ending.deadline else (SIGTERM, SIGCONT)
        if ending.leader.ours and ending.session in self._family.leaders:
            ending.warned = procfs.ticks_now()
            procfs.send_group(ending.leader.pid, *signals)

    def _round(self, endings: list[Ending], quick: bool) -> None:
        """See to ``endings``; a ``quick`` round takes no survey but leaves what needs one to the next full round."""
        begun = self._clock()
        strays, unclear = self._family.left_behind(begun)
        looked = self._clock()
        self._rested = looked + REST * (looked - begun)
        seen: Survey | None = None
        for ending in endings:
            if self._is_over(ending, strays, unclear):
                self._finish(ending)
            elif not quick and self._wants_survey(ending, begun):
                seen = seen or self._survey()
                self._see_to(ending, seen, unclear, begun)
        self._plan(begun, quick)

    def _survey(self) -> Survey:
        living = {leader.pid for leader in self._family.leaders.values()}
        living -= {ending.leader.pid for ending in self._endings.values()}
        return process_scan.take(living, self._family.by_pid)

    def _is_over(self, ending: Ending, strays: set[str], unclear: bool) -> bool:
        """The cheap answer, for sessions that are our children."""
        if not ending.leader.ours or unclear or ending.session in strays or ending.session in self._family.leaders:
            return False
        return procfs.group_is_empty(ending.leader.pid)

    def _wants_survey(self, ending: Ending, now: float) -> bool:
        """A leader that was told, as were its strays, has until the deadline: there is nothing to look for."""
        return ending.session not in self._family.leaders or not ending.surveyed or now >= ending.deadline

    def _see_to(self, ending: Ending, seen: Survey, unclear: bool, now: float) -> None:
        alive = ending.session in self._family.leaders
        ending.seen = max(ending.seen, _seen(ending.leader)) if alive else ending.seen
        found = seen.of(ending.session, ending.leader.pid, ending.seen)
        ending.surveyed = True
        if not found and not alive and not unclear:
            self._finish(ending)
            return
        for process in found:
            self._press(ending, process, now)
        if now > ending.deadline + PATIENCE and not ending.complained:
            ending.complained = True
            pids = ", ".join(str(p.pid) for p in found)
            log.warning("session %s does not die of SIGKILL, still trying: processes %s", ending.session, pids)

    def _press(self, ending: Ending, process: Process, now: float) -> None:
        if now >= ending.deadline:
            procfs.send(process, SIGKILL)
            return
        in_group = process.group == ending.leader.pid and process.start_time <= ending.warned
        if not in_group and ending.told.get(process.pid) != process.start_time:
            ending.told[process.pid] = process.start_time
            procfs.send(process, SIGTERM, SIGCONT)

    def _finish(self, ending: Ending) -> None:
        del self._endings[ending.session]
        self._family.release(ending.session, ending.leader)
        self._on_over(ending.session)
        for call in ending.then:
            call()

    def _plan(self, begun: float, quick: bool) -> None:
        """When to look again: soon at first, later slower, and never so often that looking is all we do."""
        if not self._endings:
            self._due = None
            return
        now = self._clock()
        if quick:
            self._look_by(now + max(FIRST_ROUND, REST * self._cost))
            return
        self._cost = now - begun
        self._pause = min(self._pause * 1.5, SLOWEST_ROUND)
        pause = max(self._pause, REST * self._cost)
        self._due = min(self._next_look(ending, now, pause) for ending in self._endings.values())

    def _next_look(self, ending: Ending, now: float, pause: float) -> float:
        if ending.complained:
            return now + HOPELESS_ROUND
        if self._wants_survey(ending, now):
            return min(now + pause, max(ending.deadline, now + FIRST_ROUND))
        return ending.deadline


def _seen(leader: Leader) -> int:
    """The latest ticks at which the leader certainly held its number: now, unless it is adopted and already gone."""
    now = procfs.ticks_now()
    if leader.ours:
        return now
    process = procfs.look(leader.pid)
    return now if process is not None and process.start_time == leader.start_time else leader.start_time
