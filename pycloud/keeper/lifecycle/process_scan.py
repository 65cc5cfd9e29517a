"""One scan of all processes of the host, shared by all sessions that are being terminated at that moment.

May touch: /proc (reading).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable

from pycloud.keeper.system import procfs
from pycloud.keeper.system.procfs import Process


class ProcessSnapshot:
    """Processes found by one scan, by session and by process session (sid)."""

    def __init__(self, found: Iterable[Process]) -> None:
        self.by_session: dict[str, list[Process]] = {}
        self.by_sid: dict[int, list[Process]] = {}
        for process in found:
            self.by_sid.setdefault(process.sid, []).append(process)
            if process.session is not None:
                self.by_session.setdefault(process.session, []).append(process)

    def members(self, session: str, leader: int | None, last_seen_ticks: int) -> list[Process]:
        """Return all processes that certainly belong to ``session``; see ``members_of``."""
        same_sid = self.by_sid.get(leader, []) if leader is not None else []
        return members_of(self.by_session.get(session, []), same_sid, last_seen_ticks, _is_alive)


def scan(living_leaders: Collection[int], children: Container[int]) -> ProcessSnapshot:
    """Scan now for processes outside of the sessions of ``living_leaders``, whose environment is not read.

    Those leaders that are ``children`` of the keeper are skipped: there may be thousands of them, and no other process
    can have their pids.
    """
    return ProcessSnapshot(procfs.scan(living_leaders, {pid for pid in living_leaders if pid in children}))


def members_of(
    named: list[Process], same_sid: list[Process], last_seen_ticks: int, is_alive: Callable[[Process], bool]
) -> list[Process]:
    """Return the processes that certainly belong to a session whose leader may be dead.

    ``named`` have the session's id in their environment. ``same_sid`` have the leader's pid as sid. That number may
    have been reused since the leader's death. So these count only if they are not younger than ``last_seen_ticks``
    (when the leader still held its pid), or if a process that counts and has this sid was still alive after they were
    found: then the number cannot have been reused.
    """
    members = {p.pid: p for p in named}
    members.update((p.pid, p) for p in same_sid if p.start_time <= last_seen_ticks)
    candidates = [p for p in same_sid if p.pid not in members]
    if candidates and same_sid:
        sid = same_sid[0].sid
        if any(p.sid == sid and is_alive(p) for p in members.values()):
            members.update((p.pid, p) for p in candidates)
    return list(members.values())


def _is_alive(process: Process) -> bool:
    return procfs.is_alive(process.pid, process.start_time)
