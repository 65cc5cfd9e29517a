"""All sessions that this keeper knows: in memory for reading, and in one journal each on disk, which is authoritative.

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

RETRY_INTERVAL = 2.0  # seconds between two attempts to write lines that a full disk rejected


class JournalStore:
    """Entries by session id.

    Memory is never behind the disk, and may be ahead: see ``append_with_retry`` and ``apply_in_memory``.
    """

    def __init__(self, directory: Path) -> None:
        self.entries: dict[str, SessionEntry] = {}
        self._directory = directory
        self._prefix = f"{directory}/"
        self._pending: dict[str, list[JournalLine]] = {}
        self._retry_at: float | None = None

    def path(self, session: str) -> str:
        """Return the path of the session's journal."""
        return f"{self._prefix}{session}.journal"

    def create(self, session: str, line: JournalLine) -> None:
        """Create a journal with its first line. Raises OSError, and then leaves nothing behind."""
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
        """Append a line that must be on disk before the caller continues. Raises OSError, then nothing changed."""
        changed = journal.apply(session, self.entries[session], line)
        self._write_lines(session, [line])
        self.entries[session] = changed

    def append_with_retry(self, session: str, line: JournalLine, now: float) -> None:
        """Append a line that is true even if unwritten: in memory at once, on disk now or as soon as possible.

        ``now`` is in monotonic seconds.
        """
        self.entries[session] = journal.apply(session, self.entries[session], line)
        pending = [*self._pending.get(session, []), line]
        try:
            self._write_lines(session, pending)
        except OSError as error:
            if not self._pending:
                log.warning("cannot write journals, will retry: %s", error)
            self._pending[session] = pending
            self._retry_at = now + RETRY_INTERVAL
        else:
            self._pending.pop(session, None)

    def apply_in_memory(self, session: str, line: JournalLine) -> None:
        """Apply a line that need not be on disk: the end of a session that is being removed anyway is never queried."""
        self.entries[session] = journal.apply(session, self.entries[session], line)

    def erase(self, session: str) -> None:
        """Delete a session and its journal. Raises OSError when the journal cannot be removed."""
        with suppress(FileNotFoundError):
            os.unlink(self.path(session))
        self.entries.pop(session, None)
        self._pending.pop(session, None)

    @property
    def has_unwritten(self) -> bool:
        """Whether any line is not on disk yet but may still get there, because its journal has not been deleted."""
        return any(os.path.exists(self.path(session)) for session in self._pending)

    def due(self) -> float | None:
        """Return when ``tick`` is to be called (monotonic seconds); None while all lines are on disk."""
        return self._retry_at if self._pending else None

    def tick(self, now: float) -> None:
        """Write the lines that could not be written before, each journal by itself; gives up deleted ones."""
        for session, lines in list(self._pending.items()):
            try:
                self._write_lines(session, lines)
            except OSError as error:
                if not (isinstance(error, FileNotFoundError) and self._directory.is_dir()):
                    self._retry_at = now + RETRY_INTERVAL  # not logged again: the first failure was
                    continue
                log.error("dropped %s lines of a journal that was deleted: %s", len(lines), error)
            del self._pending[session]
        if not self._pending:
            log.info("all lines of all journals are written")

    def load(self) -> None:
        """Read all journals. Logs and renames to ``.bad`` those that are corrupt. Raises OSError."""
        for path in self._directory.glob("*.journal"):
            session = path.stem
            try:
                entry = _read(session, path)
            except JournalError as error:
                corrupt_path = path.with_suffix(".bad")
                path.rename(corrupt_path)
                log.error("set aside the corrupt journal %s; its session is not supervised: %s", corrupt_path, error)
                continue
            if entry is None:
                path.unlink()  # the keeper died while writing the first line, before any other step of the start
            else:
                self.entries[session] = entry

    def is_corrupt(self, session: str) -> bool:
        """Return whether the session's journal was found to be corrupt."""
        return Path(self.path(session)).with_suffix(".bad").exists()

    def _write_lines(self, session: str, lines: list[JournalLine]) -> None:
        fd = os.open(self.path(session), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            _write(fd, b"".join(map(journal.encode, lines)))
        finally:
            os.close(fd)


def _write(fd: int, data: bytes) -> None:
    """Write all of ``data`` or nothing: a partial line would corrupt the line after it."""
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
