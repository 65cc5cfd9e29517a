"""The states of sessions, queried from the engine and stored in their records; and the exits that callers wait for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from time import time

from gevent.event import AsyncResult
from gevent.pool import Pool

from pycloud.runtimes.base import Exit, RecoveredSession
from pycloud.runtimes.docker.busy_sessions import BusySessions
from pycloud.runtimes.docker.cleanup import CleanupQueue
from pycloud.runtimes.docker.engine.containers import Containers, Inspected
from pycloud.runtimes.docker.engine.listing import ListedContainer
from pycloud.runtimes.docker.reconcile import make_plan, record_of
from pycloud.runtimes.docker.records import ContainerRecord, ContainerRecords, Stage
from pycloud.runtimes.docker.spec.container import exit_of, started_of

log = logging.getLogger(__name__)

REMOVED_BY_OTHERS, REMOVED_BY_US = "its container was removed by another client of the engine", "it was removed"
RESTARTED_BY_OTHERS = "its container was restarted by another client of the engine"
#: The engine's status of a container that is being removed.
STATUS_REMOVING = "removing"
OUT_OF_MEMORY, SIGKILL_EXIT_CODE = "out of memory", 137
#: Seconds of grace for an ended session whose container was restarted by another client of the engine.
RESTARTED_GRACE = 10.0
#: Containers that are inspected in parallel.
MAX_PARALLEL = 8


class SessionExits:
    """The exits of sessions, for the callers that wait for them."""

    def __init__(self) -> None:
        self._futures: dict[str, AsyncResult] = {}

    def wait(self, session: str) -> Exit:
        """Wait until the session has ended; return its exit."""
        exit_: Exit = self._futures.setdefault(session, AsyncResult()).get()
        return exit_

    def set_exit(self, session: str, exit_: Exit) -> None:
        """Set the exit of a session. Only the first call counts."""
        future = self._futures.setdefault(session, AsyncResult())
        if not future.ready():
            future.set(exit_)

    def forget(self, session: str) -> None:
        """Drop the exit of a session: no caller will wait for it any more."""
        self._futures.pop(session, None)


class ContainerMonitor:
    """Updates the records of sessions. ``busy``: sessions with operations in progress, which are skipped.

    ``exclusive``: no other daemon can be working on the same sessions. Until then, no container is stopped or removed.
    """

    def __init__(
        self,
        node: str,
        containers: Containers,
        records: ContainerRecords,
        cleanup: CleanupQueue,
        busy: BusySessions,
        now: Callable[[], float] = time,
    ) -> None:
        self._node, self._containers, self._records, self._cleanup = node, containers, records, cleanup
        self._busy, self._now = busy, now
        self.exclusive = False
        self._oom_sessions: set[str] = set()
        self.exits = SessionExits()

    def resync(self, on_recovered: Callable[[list[RecoveredSession]], None]) -> None:
        """List all containers, reconcile the records with them, and call ``on_recovered`` with newly found sessions.

        Raises EngineError, EngineUnavailable; actions completed until then remain in effect.
        """
        before = list(self._records)
        containers = self._containers.list(self._node)
        actions = make_plan(before, self._records, containers, self._busy)
        for record in actions.to_remove if self.exclusive else ():
            self._cleanup.add(record)
        for session in actions.missing:
            self._set_exit(session, self._missing_exit(session))
        Pool(MAX_PARALLEL).map(self.refresh, actions.ended)
        self._adopt_all((*actions.unfinished_starts, *actions.to_adopt), on_recovered)
        Pool(MAX_PARALLEL).map(self.stop_restarted, actions.restarted)

    def refresh(self, session: str, exit_code: int | None = None) -> None:
        """Check whether a session has ended; ``exit_code`` is from the engine's event, if any. Raises as ``resync``."""
        record = self._records.get(session)
        if record is None or record.exit is not None or record.stage not in (Stage.RUNNING, Stage.REMOVING):
            return
        with self._busy.hold(session):
            inspected = self._containers.inspect(record.container_ref)
        if inspected is None:
            self._set_exit(session, self._missing_exit(session, exit_code))
        elif exit_ := exit_of(inspected):
            self._set_exit(session, self._with_reason(record, exit_, inspected))
        elif _was_restarted(record, inspected):
            code = inspected["State"].get("ExitCode") if exit_code is None and _is_restarting(inspected) else exit_code
            self._set_exit(session, Exit(code, RESTARTED_BY_OTHERS if code is None else None, self._now()))
            self.stop_restarted(session)

    def stop_restarted(self, session: str) -> None:
        """Stop an ended session if its container was restarted by another client. Raises as ``resync``.

        A session ends only once.
        """
        record = self._records.get(session)
        if not self.exclusive or record is None or record.stage is not Stage.ENDED:
            return
        with self._busy.hold(session):
            inspected = self._containers.inspect(record.container_ref)
            if inspected is None or started_of(inspected) is None or exit_of(inspected):
                return
            log.warning("session %s: its container was restarted after the session had ended; stopping it", session)
            self._containers.stop(record.container_ref, RESTARTED_GRACE)

    def forget(self, session: str) -> None:
        """Drop the state of a session that is held in memory: the session is of no interest any more."""
        self.exits.forget(session)
        self._oom_sessions.discard(session)

    def mark_oom(self, session: str) -> None:
        """Record that the kernel has killed a process of a session for lack of memory."""
        self._oom_sessions.add(session)

    def _adopt_all(
        self, containers: Iterable[ListedContainer], on_recovered: Callable[[list[RecoveredSession]], None]
    ) -> None:
        found: list[RecoveredSession] = []
        try:
            for container in containers:
                if adopted := self._adopt(container):
                    found.append(adopted)
        finally:
            if found:  # they have records now, so a later resync would not find them
                on_recovered(found)

    def _adopt(self, container: ListedContainer) -> RecoveredSession | None:
        """Adopt a container that runs, or ran, without a completed start on record; None if it cannot be."""
        record = self._records.get(container.session)
        if record is None:
            content = record_of(container.labels)
            if content is None:
                log.warning("container %s is ignored: its PyCloud label is invalid", container.id)
                return None
            log.info("session %s has a container and no record: adopted", container.session)
            record = ContainerRecord(container.session, Stage.STARTING, self._now(), content)
        inspected = self._containers.inspect(container.id)
        started = started_of(inspected) if inspected else None
        if inspected is None or started is None:
            return None
        exit_ = exit_of(inspected)
        changes = {"container": container.id, "started": started, "exit": exit_}
        stage = Stage.ENDED if exit_ else Stage.RUNNING
        record = self._records.write_best_effort(record.with_stage(stage, self._now(), **changes))
        if exit_:
            self.exits.set_exit(record.session, exit_)
        return record.recovered

    def _missing_exit(self, session: str, exit_code: int | None = None) -> Exit:
        """Return the exit of a session whose container no longer exists."""
        record = self._records.get(session)
        removing = record is not None and record.stage is Stage.REMOVING
        return Exit(exit_code, REMOVED_BY_US if removing else REMOVED_BY_OTHERS, self._now())

    def _with_reason(self, record: ContainerRecord, exit_: Exit, inspected: Inspected) -> Exit:
        """Add a reason that the exit lacks: a removal by another client, or an OOM kill known from an event."""
        if record.stage is Stage.RUNNING and inspected["State"].get("Status") == STATUS_REMOVING:
            return replace(exit_, reason=REMOVED_BY_OTHERS)
        if exit_.reason is None and exit_.exit_code == SIGKILL_EXIT_CODE and record.session in self._oom_sessions:
            return replace(exit_, reason=OUT_OF_MEMORY)
        return exit_

    def _set_exit(self, session: str, exit_: Exit) -> None:
        record = self._records.get(session)
        if record is None or record.exit is not None:
            return
        record = replace(record, exit=exit_)
        self._records.write_best_effort(
            record.with_stage(Stage.ENDED, self._now()) if record.stage is Stage.RUNNING else record
        )
        self.exits.set_exit(session, exit_)


def _was_restarted(record: ContainerRecord, inspected: Inspected) -> bool:
    """Return whether a session's container has ended unobserved, and runs again or is about to."""
    now = started_of(inspected)
    later = now is not None and record.started is not None and now.started > record.started.started
    return later or _is_restarting(inspected)


def _is_restarting(inspected: Inspected) -> bool:
    """Return whether the engine is about to restart the container: another client has given it a restart policy."""
    return bool(inspected["State"].get("Restarting"))
