"""Takes over the sessions of an earlier keeper, however it ended: adopts running ones, ends and removes the others.

Runs once, before the keeper listens. May touch: what its parts touch.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pycloud.keeper.ipc import request_fields
from pycloud.keeper.lifecycle.process_scan import ProcessSnapshot
from pycloud.keeper.lifecycle.process_tree import ProcessTree, SessionLeader
from pycloud.keeper.lifecycle.starter import Paths, running_line
from pycloud.keeper.lifecycle.terminator import Terminator
from pycloud.keeper.operations import GRACE, Operations
from pycloud.keeper.storage import journal
from pycloud.keeper.storage.dir_remover import DirRemover
from pycloud.keeper.storage.journal import SessionEntry
from pycloud.keeper.storage.journal_store import JournalStore
from pycloud.keeper.storage.log_limiter import LogLimiter
from pycloud.keeper.system import procfs

log = logging.getLogger(__name__)

REBOOTED_EXIT_REASON = "the host was rebooted; the exit code is unknown"
UNOBSERVED_EXIT_REASON = "ended while no keeper was running; the exit code is unknown"
ADOPTED_EXIT_REASON = "the keeper that started it had ended; the exit code is unknown"


def remaining_grace(entry: SessionEntry, now: float) -> float:
    """Return the seconds left of the grace of a removal that an earlier keeper began. ``now`` is in Unix seconds."""
    begun = entry.removing if entry.removing is not None else now
    return max(0.0, min(entry.grace, begun + entry.grace - now))


@dataclass
class StartupRecovery:
    """The recovery of all sessions at startup, and the parts of the keeper that it uses."""

    paths: Paths
    journal_store: JournalStore
    process_tree: ProcessTree
    terminator: Terminator
    operations: Operations
    log_limiter: LogLimiter
    remover: DirRemover

    def run(self) -> None:
        """Read all journals and bring each session into a state that this keeper can manage. Raises OSError."""
        self.journal_store.load()
        entries = [entry for entry in self.journal_store.entries.values() if entry.state != journal.REMOVED]
        if entries:
            snapshot, boot = ProcessSnapshot(procfs.scan()), procfs.boot_id()
            counts = Counter(self._recover(entry, snapshot, boot) for entry in entries)
            log.info("found sessions: %s", ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
        self._remove_orphaned_files()

    def _recover(self, entry: SessionEntry, snapshot: ProcessSnapshot, boot: str) -> str:
        if entry.state == journal.STARTING:
            return self._recover_starting(entry, snapshot)
        if entry.boot_id == boot and entry.ended is None and _is_alive(entry):
            self._adopt(entry)
        else:
            self._recover_dead(entry, snapshot, boot)
        if entry.state == journal.REMOVING:
            self.operations.terminate_and_remove(entry.session, remaining_grace(entry, time.time()))
            return "being removed"
        return "running" if entry.session in self.process_tree.leaders else "ended"

    def _recover_starting(self, entry: SessionEntry, snapshot: ProcessSnapshot) -> str:
        """Handle a session whose keeper died before it could record the process that it had started, if any."""
        found = snapshot.by_session.get(entry.session, [])
        leader = min((p for p in found if p.pid == p.sid), key=lambda p: p.start_time, default=None)
        if leader is not None:
            line = running_line(leader.pid, leader.start_time, entry.port)
            self.journal_store.append_with_retry(entry.session, line, time.monotonic())
            self._adopt(self.journal_store.entries[entry.session])
            return "running"
        if found:
            self.terminator.terminate_leftovers(
                entry.session, SessionLeader(-1, -1, is_child=False, port=entry.port), 0.0
            )
        self.operations.erase(entry.session)
        return "never started"

    def _adopt(self, entry: SessionEntry) -> None:
        assert entry.pid is not None
        assert entry.start_time is not None
        now = time.monotonic()
        self.process_tree.add(
            entry.session, SessionLeader(entry.pid, entry.start_time, is_child=False, port=entry.port), now
        )
        self.log_limiter.add(entry.session, now)

    def _recover_dead(self, entry: SessionEntry, snapshot: ProcessSnapshot, boot: str) -> None:
        """Handle a dead leader: record the end if that is missing, and terminate the processes that it left."""
        same_boot = entry.boot_id == boot
        if entry.ended is None:
            line = {
                "ended": time.time(),
                "exit_code": None,
                "reason": UNOBSERVED_EXIT_REASON if same_boot else REBOOTED_EXIT_REASON,
            }
            self.journal_store.append_with_retry(entry.session, line, time.monotonic())
        if same_boot and entry.pid is not None and entry.start_time is not None:
            leader = SessionLeader(entry.pid, entry.start_time, is_child=False, port=entry.port)
            if snapshot.members(entry.session, leader.pid, leader.start_time):
                self.terminator.terminate_leftovers(entry.session, leader, GRACE)

    def _remove_orphaned_files(self) -> None:
        """Remove directories and logs of sessions without a journal: nothing is known about those sessions any more."""
        for path in self._orphaned_files():
            log.warning("removing %s: it has no journal", path)
            self.remover.remove([str(path)], lambda error, path=path: _log_removal_error(path, error))  # type: ignore[misc]

    def _orphaned_files(self) -> Iterator[Path]:
        for directory in (self.paths.data / "work", self.paths.data / "logs"):
            for path in list(directory.iterdir()):
                session = path.stem
                known = session in self.journal_store.entries or self.journal_store.is_corrupt(session)
                if request_fields.is_session_id(session) and not known:
                    yield path


def _is_alive(entry: SessionEntry) -> bool:
    if entry.pid is None or entry.start_time is None:
        return False
    return procfs.is_alive(entry.pid, entry.start_time)


def _log_removal_error(path: Path, error: OSError | None) -> None:
    if error is not None:
        log.warning("cannot remove %s: %s", path, error)
