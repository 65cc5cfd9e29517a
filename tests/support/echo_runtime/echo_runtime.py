"""Sessions that echo their script. Each is two files in the data directory, and no process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any

import msgspec
from gevent.event import AsyncResult

from pycloud.config import Config
from pycloud.errors import RemoveFailed, StartFailed
from pycloud.keeper.storage import log_file
from pycloud.runtimes.base import (
    Exit,
    OutputReader,
    Phase,
    ReadFrom,
    RecoveredSession,
    Runtime,
    SessionSpec,
    Started,
    Usage,
)
from pycloud.runtimes.script.file_watcher import FileWatcher
from pycloud.runtimes.script.log_reader import ScriptLogReader


class EchoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[echo]``. ``prefix`` precedes each line of the output."""

    prefix: str = ""


class Note(msgspec.Struct):
    """The file of one session, which ends at once where the last line of its script is ``exit CODE``."""

    record: dict[str, Any]
    started: float
    exit: Exit | None = None
    removal: dict[str, Any] | None = None
    removed: bool = False


class EchoRuntime(Runtime):
    """Echoes scripts that begin with ``#!echo``."""

    kind = "echo"

    def __init__(self, config: Config, _node: str, _nofile: int) -> None:
        self.on_recovered: Callable[[list[RecoveredSession]], None] = lambda _found: None
        self._settings, self._directory = config.table(self.kind, EchoSettings), config.data_dir / "plugins" / self.kind
        self._notes: dict[str, Note] = {}
        self._exits: dict[str, AsyncResult] = {}
        self._watcher = FileWatcher()

    @classmethod
    def check(cls, config: Config) -> None:
        config.table(cls.kind, EchoSettings)

    @classmethod
    def matches(cls, script: str) -> bool:
        return script.startswith("#!echo\n")

    @classmethod
    def end_all(cls, config: Config) -> int | None:
        files = list((config.data_dir / "plugins" / cls.kind).glob("*"))
        for file in files:
            file.unlink()
        return sum(1 for file in files if file.suffix == ".json") or None

    def connect(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def disconnect(self) -> None:
        self._watcher.close()

    def recover(self) -> list[RecoveredSession]:
        files = self._directory.glob("*.json")
        self._notes = {file.stem: msgspec.json.decode(file.read_bytes(), type=Note) for file in files}
        return [self._recovered(session, note) for session, note in self._notes.items()]

    def start(self, spec: SessionSpec) -> Started:
        lines, now = spec.script.removeprefix("#!echo\n").splitlines(), time.time()
        code = int(lines.pop().removeprefix("exit ")) if lines and lines[-1].startswith("exit ") else None
        note = Note(dict(spec.record), now, None if code is None else Exit(code, None, now))
        try:
            self._log(spec.session).write_text("".join(f"{self._settings.prefix}{line}\n" for line in lines))
            self._save(spec.session, note)
        except OSError as error:
            raise StartFailed(f"the session cannot be recorded: {error.strerror}") from error
        return Started(None, now)

    def annotate(self, session: str, annotations: Mapping[str, Any]) -> None:
        if note := self._notes.get(session):
            self._save(session, msgspec.structs.replace(note, record={**note.record, **annotations}))

    def wait(self, session: str) -> Exit:
        result: Exit = self._exits.setdefault(session, AsyncResult()).get()
        return result

    def stop(self, session: str, grace: float, removal: Mapping[str, Any], max_grace: float = inf) -> bool:
        if (note := self._notes.get(session)) is None:
            return False
        ended = note.exit or Exit(None, "it was removed", time.time())
        try:
            self._save(session, msgspec.structs.replace(note, exit=ended, removal=dict(removal), removed=True))
            self._log(session).unlink(missing_ok=True)
        except OSError as error:
            raise RemoveFailed(str(error.strerror)) from error
        return True

    def forget(self, session: str) -> None:
        self._notes.pop(session, None)
        self._exits.pop(session, None)
        for file in self._directory.glob(f"{session}.*"):
            file.unlink(missing_ok=True)

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        return log_file.tail(self._log(session), count)

    def follow(self, session: str, read_from: ReadFrom, once: bool, on_output: Callable[[], None]) -> OutputReader:
        return ScriptLogReader(self._log(session), read_from, once, self._watcher, on_output)

    def usage(self, session: str) -> Usage | None:
        return Usage(time.monotonic(), 0.0, self._log(session).stat().st_size, 0)

    def details(self, session: str) -> Mapping[str, Any]:
        return {"prefix": self._settings.prefix}

    def _log(self, session: str) -> Path:
        return self._directory / f"{session}.log"

    def _save(self, session: str, note: Note) -> None:
        self._notes[session] = note
        temporary = self._directory / f"{session}.new"
        temporary.write_bytes(msgspec.json.encode(note))
        temporary.rename(temporary.with_suffix(".json"))
        self._publish_exit(session, note)

    def _publish_exit(self, session: str, note: Note) -> None:
        if note.exit:
            self._exits.setdefault(session, AsyncResult()).set(note.exit)

    def _recovered(self, session: str, note: Note) -> RecoveredSession:
        self._publish_exit(session, note)
        phase = Phase.REMOVED if note.removed else Phase.ENDED if note.exit else Phase.RUNNING
        return RecoveredSession(session, phase, note.record, Started(None, note.started), note.exit, note.removal)
