"""Settles what an earlier keeper left, however it ended: adopts what lives, ends and removes what must not.

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
from pycloud.keeper.lifecycle.process_scan import Survey
from pycloud.keeper.lifecycle.process_tree import Family, Leader
from pycloud.keeper.lifecycle.starter import Paths, running
from pycloud.keeper.lifecycle.terminator import Endings
from pycloud.keeper.operations import GRACE, Operations
from pycloud.keeper.storage import journal
from pycloud.keeper.storage.dir_remover import Remover
from pycloud.keeper.storage.journal import Entry
from pycloud.keeper.storage.journal_store import Book
from pycloud.keeper.storage.log_limiter import Sweeper
from pycloud.keeper.system import procfs

log = logging.getLogger(__name__)

REBOOTED = "the host was rebooted; nobody knows the exit code"
UNSEEN = "ended while no keeper was running; nobody knows the exit code"
ADOPTED_END = "its keeper was gone; nobody knows the exit code"


def remaining_grace(entry: Entry, now: float) -> float:
    """Seconds that are left of the grace of a removal which another keeper began. ``now`` is Unix seconds."""
    begun = entry.removing if entry.removing is not None else now
    return max(0.0, min(entry.grace, begun + entry.grace - now))


@dataclass
class Settling:
    """All that takes part."""

    paths: Paths
    book: Book
    family: Family
    endings: Endings
    operations: Operations
    sweeper: Sweeper
    remover: Remover

    def run(self) -> None:
        """Read all journals and bring each session into a state that this keeper can go on from. Raises OSError."""
        self.book.load()
        entries = [entry for entry in self.book.entries.values() if entry.state != journal.REMOVED]
        if entries:
            seen, boot = Survey(procfs.scan()), procfs.boot_id()
            counts = Counter(self._settle(entry, seen, boot) for entry in entries)
            log.info("found sessions: %s", ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
        self._remove_orphans()

    def _settle(self, entry: Entry, seen: Survey, boot: str) -> str:
        if entry.state == journal.STARTING:
            return self._settle_starting(entry, seen)
        if entry.boot_id == boot and entry.ended is None and _lives(entry):
            self._adopt(entry)
        else:
            self._bury(entry, seen, boot)
        if entry.state == journal.REMOVING:
            self.operations.carry_on(entry.session, remaining_grace(entry, time.time()))
            return "being removed"
        return "running" if entry.session in self.family.leaders else "ended"

    def _settle_starting(self, entry: Entry, seen: Survey) -> str:
        """The last keeper died before it could write what it had started."""
        found = seen.by_session.get(entry.session, [])
        leader = min((p for p in found if p.pid == p.sid), key=lambda p: p.start_time, default=None)
        if leader is not None:
            line = running(leader.pid, leader.start_time, entry.port)
            self.book.record(entry.session, line, time.monotonic())
            self._adopt(self.book.entries[entry.session])
            return "running"
        if found:
            self.endings.leftovers(entry.session, Leader(-1, -1, ours=False, port=entry.port), 0.0)
        self.operations.erase(entry.session)
        return "never started"

    def _adopt(self, entry: Entry) -> None:
        assert entry.pid is not None
        assert entry.start_time is not None
        now = time.monotonic()
        self.family.add(entry.session, Leader(entry.pid, entry.start_time, ours=False, port=entry.port), now)
        self.sweeper.add(entry.session, now)

    def _bury(self, entry: Entry, seen: Survey, boot: str) -> None:
        """The leader is dead: say so if nobody has, and end what it left."""
        same_boot = entry.boot_id == boot
        if entry.ended is None:
            line = {"ended": time.time(), "exit_code": None, "reason": UNSEEN if same_boot else REBOOTED}
            self.book.record(entry.session, line, time.monotonic())
        if same_boot and entry.pid is not None and entry.start_time is not None:
            leader = Leader(entry.pid, entry.start_time, ours=False, port=entry.port)
            if seen.of(entry.session, leader.pid, leader.start_time):
                self.endings.leftovers(entry.session, leader, GRACE)

    def _remove_orphans(self) -> None:
        """Directories and logs of sessions that have no journal: nothing can be told about them any more."""
        for path in self._orphans():
            log.warning("removing %s: it has no journal", path)
            self.remover.remove([str(path)], lambda error, path=path: _report(path, error))  # type: ignore[misc]

    def _orphans(self) -> Iterator[Path]:
        for directory in (self.paths.data / "work", self.paths.data / "logs"):
            for path in list(directory.iterdir()):
                session = path.stem
                known = session in self.book.entries or self.book.set_aside(session)
                if request_fields.is_session(session) and not known:
                    yield path


def _lives(entry: Entry) -> bool:
    if entry.pid is None or entry.start_time is None:
        return False
    return procfs.alive(entry.pid, entry.start_time)


def _report(path: Path, error: OSError | None) -> None:
    if error is not None:
        log.warning("cannot remove %s: %s", path, error)
