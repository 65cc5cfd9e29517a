"""The records of container sessions: one small JSON file each, and the meaning of a record. Decides nothing.

A record is written before anything is created, so that a daemon that dies leaves nothing unknown to the next one.

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
    """The stage of a session in its life cycle."""

    STARTING = "starting"  # a container may exist, or may still be created
    RUNNING = "running"
    ENDED = "ended"
    REMOVING = "removing"
    REMOVED = "removed"
    CLEANUP = "undone"  # the session is of no interest; its container, present or created later, must be removed


PHASES = {
    Stage.RUNNING: Phase.RUNNING,
    Stage.ENDED: Phase.ENDED,
    Stage.REMOVING: Phase.REMOVING,
    Stage.REMOVED: Phase.REMOVED,
}


@dataclass(frozen=True)
class ContainerRecord:
    """The record of one session.

    ``since``: when it reached ``stage``, Unix seconds; ``record`` is that of the SessionSpec; ``container`` is the
    engine's id, None until there is one; ``grace`` the session's own grace (seconds); ``removal`` the note passed to
    the first ``stop``.
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
        """The name or id by which the engine knows the container."""
        return self.container or CONTAINER_NAME_PREFIX + self.session

    @property
    def recovered(self) -> RecoveredSession | None:
        """The session as a runtime returns it from ``recover``; None: it is not visible to callers."""
        phase = PHASES.get(self.stage)
        if phase is None:
            return None
        return RecoveredSession(self.session, phase, self.record, self.started, self.exit, self.removal)

    def with_stage(self, stage: Stage, now: float, **changes: Any) -> ContainerRecord:
        """Return the record with another stage, reached at ``now`` (Unix seconds), and other ``changes``."""
        return replace(self, stage=stage, since=now, **changes)


def encode(record: ContainerRecord) -> bytes:
    """Return the contents of the record's file."""
    return json.dumps(asdict(record)).encode()


def decode(data: bytes) -> ContainerRecord:
    """Return the record in a file's contents. Raises ValueError."""
    try:
        fields = json.loads(data)
        fields["stage"] = Stage(fields["stage"])
        fields["started"] = Started(**fields["started"]) if fields["started"] else None
        fields["exit"] = Exit(**fields["exit"]) if fields["exit"] else None
        return ContainerRecord(**fields)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"a field is missing or invalid ({error!r})") from error


class ContainerRecords:
    """All records of ``node`` by session, in memory and in ``directory``."""

    def __init__(self, directory: Path, node: str) -> None:
        self._directory, self._node = directory, node
        self._by_session: dict[str, ContainerRecord] = {}

    def __iter__(self) -> Iterator[ContainerRecord]:
        """Iterate over a copy of all records."""
        return iter(list(self._by_session.values()))

    def load(self) -> None:
        """Read all records. Raises PyCloudError where the directory cannot be used."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            for path in self._directory.iterdir():
                self._load_file(path)
        except OSError as error:
            raise PyCloudError(f"cannot use the directory {self._directory}: {error.strerror}") from error

    def get(self, session: str) -> ContainerRecord | None:
        """Return a session's record."""
        return self._by_session.get(session)

    def write(self, record: ContainerRecord) -> ContainerRecord:
        """Write a record, replacing an earlier one, and return it. Raises OSError, and then nothing has changed."""
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
        """Write a record that the next daemon could also restore from the engine: if that fails, in memory only."""
        try:
            return self.write(record)
        except OSError as error:
            log.warning("the record of session %s cannot be written: %s", record.session, error)
            self._by_session[record.session] = record
            return record

    def delete(self, session: str) -> None:
        """Delete a session's record."""
        self._by_session.pop(session, None)
        try:
            self._path(session).unlink(missing_ok=True)
        except OSError as error:
            log.warning("the record of session %s cannot be deleted: %s", session, error)

    def _path(self, session: str) -> Path:
        return self._directory / (session + SUFFIX)

    def _load_file(self, path: Path) -> None:
        if path.suffix == TEMP_SUFFIX:
            path.unlink()  # its writer died before it could rename it
        if path.suffix != SUFFIX:
            return
        try:
            record = decode(path.read_bytes())
            if owner_of(record.session) != self._node:
                # The directory was copied, or lost its id. The container belongs to the other node, which watches and
                # removes it.
                raise ValueError("it belongs to another node")
        except ValueError as error:
            # The labels of its container, if there is one, suffice to adopt it.
            log.error("the record %s is not used: %s", path, error)
            path.rename(path.with_suffix(".bad"))
            return
        self._by_session[record.session] = record
