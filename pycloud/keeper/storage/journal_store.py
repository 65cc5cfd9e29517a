"""All sessions that this keeper knows: in memory for reading, one journal each on disk for truth.

May touch: the directory of journals.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from pathlib import Path

from pycloud.keeper.storage import journal
from pycloud.keeper.storage.journal import JournalError, JournalLine, SessionEntry

log = logging.getLogger(__name__)

RETRY_INTERVAL = 2.0  # seconds between attempts to write down what a full disk refused


class JournalStore:
    """Entries by session id. Memory never claims less than the disk, and may be ahead: see ``record``, ``remember``."""

    def __init__(self, directory: Path) -> None:
        self.entries: dict[str, SessionEntry] = {}
        self._directory = directory
        self._prefix = f"{directory}/"
        self._pending: dict[str, list[JournalLine]] = {}
        self._retry_at: float | None = None

    def path(self, session: str) -> str:
        """Where the session's journal lies."""
        return f"{self._prefix}{session}.journal"

    def create(self, session: str, line: JournalLine) -> None:
        """Begin a journal. Raises OSError, and then has left nothing behind."""
        path = self.path(session)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write(fd, journal.encode(line))
        except OSError:
            with suppress(FileNotFoundError):
                os.unlink(path)
            raise
        finally:
            os.close(fd)
        self.entries[session] = journal.apply(session, None, line)

    def append(self, session: str, line: JournalLine) -> None:
        """Add a line that must be on disk before life goes on. Raises OSError, and then nothing has changed."""
        changed = journal.apply(session, self.entries[session], line)
        self._write_lines(session, [line])
        self.entries[session] = changed

    def append_with_retry(self, session: str, line: JournalLine, now: float) -> None:
        """Add a line that is true whether or not the disk takes it: memory at once, disk now or as soon as it can."""
        self.entries[session] = journal.apply(session, self.entries[session], line)
        pending = [*self._pending.get(session, []), line]
        try:
            self._write_lines(session, pending)
        except OSError as error:
            if not self._pending:
                log.warning("cannot write journals, will try again: %s", error)
            self._pending[session] = pending
            self._retry_at = now + RETRY_INTERVAL
        else:
            self._pending.pop(session, None)

    def apply_in_memory(self, session: str, line: JournalLine) -> None:
        """Add a line that need not be on disk: nobody asks how a session ended that was to be removed."""
        self.entries[session] = journal.apply(session, self.entries[session], line)

    def erase(self, session: str) -> None:
        """Forget a session. Raises OSError when its journal cannot be removed."""
        with suppress(FileNotFoundError):
            os.unlink(self.path(session))
        self.entries.pop(session, None)
        self._pending.pop(session, None)

    @property
    def has_unwritten(self) -> bool:
        """Whether something is not on disk yet that may still get there: not where the journals were deleted."""
        return any(os.path.exists(self.path(session)) for session in self._pending)

    def due(self) -> float | None:
        """When ``tick`` wants to be called (monotonic seconds); None while all is on disk."""
        return self._retry_at if self._pending else None

    def tick(self, now: float) -> None:
        """Write what could not be written before."""
        for session, lines in list(self._pending.items()):
            try:
                self._write_lines(session, lines)
            except OSError:
                self._retry_at = now + RETRY_INTERVAL  # said once, when it began
                return
            del self._pending[session]
        log.info("journals can be written again")

    def load(self) -> None:
        """Read all journals. One that makes no sense is set aside as ``.bad``, and said so. Raises OSError."""
        for path in self._directory.glob("*.journal"):
            session = path.stem
            try:
                entry = _read(session, path)
            except JournalError as error:
                corrupt_path = path.with_suffix(".bad")
                path.rename(corrupt_path)
                log.error("set aside the journal %s, its session is left alone: %s", corrupt_path, error)
                continue
            if entry is None:
                path.unlink()  # its keeper died while it wrote the first line: nothing had been done yet
            else:
                self.entries[session] = entry

    def is_corrupt(self, session: str) -> bool:
        """Whether the session's journal was found unreadable."""
        return Path(self.path(session)).with_suffix(".bad").exists()

    def _write_lines(self, session: str, lines: list[JournalLine]) -> None:
        fd = os.open(self.path(session), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            _write(fd, b"".join(map(journal.encode, lines)))
        finally:
            os.close(fd)


def _write(fd: int, data: bytes) -> None:
    """All of ``data`` or nothing: half a line would spoil the one after it."""
    size = os.fstat(fd).st_size
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(fd, size)
        raise


def _read(session: str, path: Path) -> SessionEntry | None:
    data = path.read_bytes()
    lines, whole = journal.decode(data)
    if whole < len(data):
        os.truncate(path, whole)
    return journal.fold(session, lines)
