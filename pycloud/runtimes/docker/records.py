"""What is remembered of each container session: one small JSON file each, and what a record means. Decides nothing.

Written before anything exists, so that a daemon that dies leaves nothing that the next one does not know.

May touch: the directory that it is given.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pycloud.errors import PyCloudError
from pycloud.protocol.keys import owner_of
from pycloud.runtimes.base import Exit, Phase, RecoveredSession, Started
from pycloud.runtimes.docker.spec.container import CONTAINER_NAME_PREFIX

log = logging.getLogger(__name__)

SUFFIX, TEMP_SUFFIX = ".json", ".new"


class Stage(StrEnum):
    """How far a session has come."""

    STARTING = "starting"  # there may be a container, or one may come yet
    RUNNING = "running"
    ENDED = "ended"
    REMOVING = "removing"
    REMOVED = "removed"
    CLEANUP = "undone"  # of no interest to anybody; a container that is there, or comes yet, has to go


PHASES = {
    Stage.RUNNING: Phase.RUNNING,
    Stage.ENDED: Phase.ENDED,
    Stage.REMOVING: Phase.REMOVING,
    Stage.REMOVED: Phase.REMOVED,
}


@dataclass(frozen=True)
class ContainerRecord:
    """One session. ``since``: when it came to ``stage``, Unix seconds. ``record`` is the order's.

    ``container`` is the engine's id, None until there is one; ``grace`` the session's own (seconds) for its end;
    ``removal`` the note handed to the first ``stop``.
    """

    session: str
    stage: Stage
    since: float
    record: Mapping[str, Any] = field(default_factory=dict)
    container: str | None = None
    grace: float | None = None
    started: Started | None = None
    exit: Exit | None = None
    removal: Mapping[str, Any] | None = None

    @property
    def container_ref(self) -> str:
        """What the engine knows its container by."""
        return self.container or CONTAINER_NAME_PREFIX + self.session

    @property
    def recovered(self) -> RecoveredSession | None:
        """What it looks like to those who ask a runtime; None: they do not get to see it."""
        phase = PHASES.get(self.stage)
        if phase is None:
            return None
        return RecoveredSession(self.session, phase, self.record, self.started, self.exit, self.removal)

    def with_stage(self, stage: Stage, now: float, **changes: Any) -> ContainerRecord:
        """The same session, come to ``stage``."""
        return replace(self, stage=stage, since=now, **changes)


def encode(record: ContainerRecord) -> bytes:
    """The content of a file."""
    return json.dumps(asdict(record)).encode()


def decode(data: bytes) -> ContainerRecord:
    """The record in a file. Raises ValueError."""
    try:
        fields = json.loads(data)
        fields["stage"] = Stage(fields["stage"])
        fields["started"] = Started(**fields["started"]) if fields["started"] else None
        fields["exit"] = Exit(**fields["exit"]) if fields["exit"] else None
        return ContainerRecord(**fields)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it lacks something ({error!r})") from error


class ContainerRecords:
    """All records of ``cloud`` by session, in memory and in ``directory``."""

    def __init__(self, directory: Path, node: str) -> None:
        self._directory, self._node = directory, node
        self._by_session: dict[str, ContainerRecord] = {}

    def __iter__(self) -> Iterator[ContainerRecord]:
        """All of them, as they are now."""
        return iter(list(self._by_session.values()))

    def load(self) -> None:
        """Read what is there. Raises PyCloudError where the directory cannot be used."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            for path in self._directory.iterdir():
                self._load_file(path)
        except OSError as error:
            raise PyCloudError(f"cannot use the directory {self._directory}: {error.strerror}") from error

    def get(self, session: str) -> ContainerRecord | None:
        """A session's record."""
        return self._by_session.get(session)

    def write(self, record: ContainerRecord) -> ContainerRecord:
        """Keep a record in place of the one that there was. Raises OSError, and then nothing has changed."""
        path = self._path(record.session)
        temp_path = path.with_suffix(TEMP_SUFFIX)
        try:
            temp_path.write_bytes(encode(record))
            temp_path.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temp_path.unlink()
            raise
        self._by_session[record.session] = record
        return record

    def write_best_effort(self, record: ContainerRecord) -> ContainerRecord:
        """The same for what the engine would tell the next daemon anyway: kept in memory only, where it must be."""
        try:
            return self.write(record)
        except OSError as error:
            log.warning("the record of session %s cannot be written: %s", record.session, error)
            self._by_session[record.session] = record
            return record

    def delete(self, session: str) -> None:
        """Forget a session."""
        self._by_session.pop(session, None)
        try:
            self._path(session).unlink(missing_ok=True)
        except OSError as error:
            log.warning("the record of session %s cannot be deleted: %s", session, error)

    def _path(self, session: str) -> Path:
        return self._directory / (session + SUFFIX)

    def _load_file(self, path: Path) -> None:
        if path.suffix == TEMP_SUFFIX:
            path.unlink()  # its writer died
        if path.suffix != SUFFIX:
            return
        try:
            record = decode(path.read_bytes())
            if owner_of(record.session) != self._node:
                # Of a directory that was copied, or lost its id. Its container is that one's to watch, and to remove.
                raise ValueError("it is another cloud's")
        except ValueError as error:
            # Its container, where there is one, carries what is needed.
            log.error("the record %s is not used: %s", path, error)
            path.rename(path.with_suffix(".bad"))
            return
        self._by_session[record.session] = record
