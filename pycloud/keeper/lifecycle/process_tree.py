"""Which process belongs to which session: the first process of each, and the orphans that sessions leave to the keeper.

The first process of a session is its *leader*. It is a child of the keeper, unless an earlier keeper started it; then
it is *adopted*: watched, but the keeper cannot wait for it. An *orphan* is a process of a session whose parent has
died; it becomes a child of the keeper, which is the subreaper of all that it starts. It may have left the session's
process group.

May touch: /proc (reading), and pidfds of adopted leaders.
"""

from __future__ import annotations

import errno
import os
import selectors
from dataclasses import dataclass

from pycloud.keeper.system import procfs

POLL_INTERVAL = 1.0  # seconds between two checks of an adopted leader for which no pidfd was left
UNATTRIBUTED_TIMEOUT = 0.25  # seconds for which a child without an environment is assumed to be in an exec


@dataclass(slots=True)
class SessionLeader:
    """A session's first process. ``pidfd`` is set for adopted leaders that the selector watches."""

    pid: int
    start_time: int
    is_child: bool
    port: int | None = None
    pidfd: int | None = None


class ProcessTree:
    """All sessions with running processes, as far as known. ``max_pidfds`` is how many pidfds may be open."""

    def __init__(self, selector: selectors.BaseSelector, max_pidfds: int) -> None:
        self.leaders: dict[str, SessionLeader] = {}  # by session; leaders that are alive
        self.by_pid: dict[int, str] = {}  # by pid of the leader; leaders that are alive and children of the keeper
        self.by_sid: dict[int, str] = {}  # by sid (the leader's pid); sessions of which any process may be alive
        self.ports: dict[int, str] = {}  # by port; the same sessions
        self._selector = selector
        self._free_pidfds = max_pidfds
        self._orphan_sessions: dict[int, str] = {}
        self._unattributed_since: dict[int, float] = {}
        self._poll_at: float | None = None

    def add(self, session: str, leader: SessionLeader, now: float) -> None:
        """Add a leader that was started or found alive. ``now`` is in monotonic seconds."""
        self.leaders[session] = leader
        self.by_sid[leader.pid] = session
        if leader.port is not None:
            self.ports[leader.port] = session
        if leader.is_child:
            self.by_pid[leader.pid] = session
        else:
            self._watch(session, leader, now)

    def remove_leader(self, session: str) -> SessionLeader:
        """Remove and return a leader that has died; other processes of the session may still be alive."""
        leader = self.leaders.pop(session)
        self.by_pid.pop(leader.pid, None)
        if leader.pidfd is not None:
            self._selector.unregister(leader.pidfd)
            os.close(leader.pidfd)
            leader.pidfd = None
            self._free_pidfds += 1
        return leader

    def release(self, session: str, leader: SessionLeader) -> None:
        """Remove a session without any running process. Its pid and port may already belong to another session."""
        if self.by_sid.get(leader.pid) == session:
            del self.by_sid[leader.pid]
        if leader.port is not None and self.ports.get(leader.port) == session:
            del self.ports[leader.port]

    def due(self) -> float | None:
        """Return when adopted leaders without a pidfd are to be checked (monotonic seconds); None if there are none."""
        return self._poll_at

    def dead_adopted(self, now: float) -> list[str]:
        """Return the adopted sessions without a pidfd whose leaders have died."""
        polled = [(s, x) for s, x in self.leaders.items() if not x.is_child and x.pidfd is None]
        dead = [s for s, x in polled if not procfs.is_alive(x.pid, x.start_time)]
        self._poll_at = now + POLL_INTERVAL if len(polled) > len(dead) else None
        return dead

    def sessions_with_orphans(self, now: float) -> tuple[set[str], bool]:
        """Return the sessions that have orphans, and whether an orphan exists that cannot be attributed yet."""
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
        # A pid of a child cannot be reused before the child is reaped; entries of other pids are outdated.
        self._orphan_sessions = {pid: session for pid, session in self._orphan_sessions.items() if pid in seen}
        self._unattributed_since = {pid: since for pid, since in self._unattributed_since.items() if pid in seen}
        return found, undetermined

    def roots(self, session: str) -> list[int]:
        """Return the processes from which all others of a session descend: its leader, and its orphans.

        Orphans of an earlier keeper are missing: they are not children of this one.
        """
        leader = self.leaders.get(session)
        other_pids = [pid for pid in procfs.orphans() if pid not in self.by_pid]
        orphans = [pid for pid in other_pids if (self._orphan_sessions.get(pid) or self._attribute(pid)) == session]
        return [*([leader.pid] if leader else []), *orphans]

    def session_of_dead(self, pid: int) -> str | None:
        """Return the session of a child that is dead, not yet reaped, and no leader; None if it is unknown."""
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
                self._poll_at = now  # it has just died: the next check finds that
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
        if leader.pidfd is None:
            self._poll_at = now + POLL_INTERVAL
            return
        self._free_pidfds -= 1
        self._selector.register(leader.pidfd, selectors.EVENT_READ, session)
