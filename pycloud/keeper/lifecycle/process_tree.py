"""Who is whose: the first process of each session, and the strays that sessions leave to the keeper.

The first process of a session is its *leader*. It is our child, unless an earlier keeper started it (then it is
*adopted*: watched, but not ours to wait for). A *stray* has left its session's group and lost its parent, which makes
it our child, because the keeper is the subreaper of all that it starts.

May touch: /proc (reading), and pidfds of adopted leaders.
"""

from __future__ import annotations

import errno
import os
import selectors
from dataclasses import dataclass

from pycloud.keeper.system import procfs

POLL_INTERVAL = 1.0  # seconds between looks at an adopted leader for which there was no descriptor left
UNATTRIBUTED_TIMEOUT = 0.25  # seconds for which a child without an environment is taken to be between two programs


@dataclass(slots=True)
class SessionLeader:
    """A session's first process. ``pidfd`` is set for adopted ones that the selector watches."""

    pid: int
    start_time: int
    is_child: bool
    port: int | None = None
    pidfd: int | None = None


class ProcessTree:
    """All that is alive, as far as it is known. ``room`` is how many pidfds may be open."""

    def __init__(self, selector: selectors.BaseSelector, max_pidfds: int) -> None:
        self.leaders: dict[str, SessionLeader] = {}  # of sessions whose leader lives
        self.by_pid: dict[int, str] = {}  # our own leaders that live
        self.by_sid: dict[int, str] = {}  # sessions of which anything may live
        self.ports: dict[int, str] = {}  # the same
        self._selector = selector
        self._free_pidfds = max_pidfds
        self._orphan_sessions: dict[int, str] = {}
        self._unattributed_since: dict[int, float] = {}
        self._poll_at: float | None = None

    def add(self, session: str, leader: SessionLeader, now: float) -> None:
        """A leader has come to life or was found alive."""
        self.leaders[session] = leader
        self.by_sid[leader.pid] = session
        if leader.port is not None:
            self.ports[leader.port] = session
        if leader.is_child:
            self.by_pid[leader.pid] = session
        else:
            self._watch(session, leader, now)

    def remove_leader(self, session: str) -> SessionLeader:
        """The leader is dead; what is left of the session may still live."""
        leader = self.leaders.pop(session)
        self.by_pid.pop(leader.pid, None)
        if leader.pidfd is not None:
            self._selector.unregister(leader.pidfd)
            os.close(leader.pidfd)
            leader.pidfd = None
            self._free_pidfds += 1
        return leader

    def release(self, session: str, leader: SessionLeader) -> None:
        """Nothing of the session lives any more. Its pid and port may already belong to another session of ours."""
        if self.by_sid.get(leader.pid) == session:
            del self.by_sid[leader.pid]
        if leader.port is not None and self.ports.get(leader.port) == session:
            del self.ports[leader.port]

    def due(self) -> float | None:
        """When leaders without a pidfd want to be looked at (monotonic seconds)."""
        return self._poll_at

    def dead_adopted(self, now: float) -> list[str]:
        """Adopted sessions without a pidfd whose leaders have died."""
        polled = [(s, x) for s, x in self.leaders.items() if not x.is_child and x.pidfd is None]
        dead = [s for s, x in polled if not procfs.is_alive(x.pid, x.start_time)]
        self._poll_at = now + POLL_INTERVAL if len(polled) > len(dead) else None
        return dead

    def sessions_with_orphans(self, now: float) -> tuple[set[str], bool]:
        """Sessions that have strays among the orphans, and whether it is too early to tell for one of them."""
        found, seen, undetermined = set(), set(), False
        for pid in procfs.orphans():
            if pid in self.by_pid:
                continue
            seen.add(pid)
            session = self._orphan_sessions.get(pid) or self._attribute(pid)
            if session is not None:
                self._orphan_sessions[pid] = session
                found.add(session)
            elif now - self._unattributed_since.setdefault(pid, now) < UNATTRIBUTED_TIMEOUT:
                undetermined = True
        # Our children's pids cannot be used again before we have waited for them; the rest is history.
        self._orphan_sessions = {pid: session for pid, session in self._orphan_sessions.items() if pid in seen}
        self._unattributed_since = {pid: since for pid, since in self._unattributed_since.items() if pid in seen}
        return found, undetermined

    def roots(self, session: str) -> list[int]:
        """The processes of a session from which all its others descend: its leader, and strays among the orphans.

        Strays that an earlier keeper would have known are not: they are no children of ours.
        """
        leader = self.leaders.get(session)
        other_pids = [pid for pid in procfs.orphans() if pid not in self.by_pid]
        orphans = [pid for pid in other_pids if (self._orphan_sessions.get(pid) or self._attribute(pid)) == session]
        return [*([leader.pid] if leader else []), *orphans]

    def session_of_dead(self, pid: int) -> str | None:
        """The session of a child that is dead but not yet waited for, and is no leader."""
        process = procfs.get_process(pid)
        return self._orphan_sessions.get(pid) or (self.by_sid.get(process.sid) if process else None)

    def _attribute(self, pid: int) -> str | None:
        process = procfs.get_process(pid)
        if process is None or process.dead:
            return None
        return self.by_sid.get(process.sid) or procfs.session_in(procfs.environ_of(pid))

    def _watch(self, session: str, leader: SessionLeader, now: float) -> None:
        if self._free_pidfds > 0:
            try:
                leader.pidfd = os.pidfd_open(leader.pid)
            except ProcessLookupError:
                self._poll_at = now  # it has died this moment: the next look says so
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
        if leader.pidfd is None:
            self._poll_at = now + POLL_INTERVAL
            return
        self._free_pidfds -= 1
        self._selector.register(leader.pidfd, selectors.EVENT_READ, session)
