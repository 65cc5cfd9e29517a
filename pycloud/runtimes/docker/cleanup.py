"""Sessions that are to leave nothing: their containers are removed, also those that the engine makes only later.

An engine that was frozen, or took too long, still does what it was asked when nobody waits for it any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from time import monotonic, time

import gevent
from gevent.event import Event
from gevent.pool import Pool

from pycloud.errors import RequestError
from pycloud.runtimes.docker.engine.client import EngineClient
from pycloud.runtimes.docker.engine.containers import Containers
from pycloud.runtimes.docker.engine.errors import EngineError
from pycloud.runtimes.docker.records import ContainerRecord, ContainerRecords, Stage

log = logging.getLogger(__name__)

#: Seconds between two looks while there is something to be done.
POLL_INTERVAL = 30.0
#: Seconds before one that could not be removed is tried again: at first, and at most.
RETRY_DELAY, MAX_RETRY_DELAY = 5.0, 600.0
#: Seconds for which an engine that answers may yet make a container that it was asked for.
LATE_CREATE_TIMEOUT = 600.0
#: Containers that are removed side by side: some take forever.
MAX_PARALLEL = 8


class CleanupQueue:
    """Removes what there is of the records in stage UNDONE, and then forgets them."""

    def __init__(
        self, engine: EngineClient, containers: Containers, records: ContainerRecords, now: Callable[[], float] = time
    ) -> None:
        self._engine, self._containers, self._records, self._now = engine, containers, records, now
        self._wake = Event()
        self._retries: dict[str, _Retry] = {}
        self._removals = Pool(MAX_PARALLEL)
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """From now on do so in the background."""
        self._greenlet = gevent.spawn(self._sweep_for_ever)

    def stop(self) -> None:
        """Leave what is left to the next daemon."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._removals.kill()

    def add(self, record: ContainerRecord) -> None:
        """This session has to go."""
        self._records.write_best_effort(record.with_stage(Stage.CLEANUP, self._now()))
        self.schedule(record.session)

    def schedule(self, session: str | None = None) -> None:
        """There may be something to remove now: of one session, or (None) of all."""
        for each in [session] if session else list(self._retries):
            if retry := self._retries.get(each):
                retry.not_before = 0.0
        self._wake.set()

    def _sweep_for_ever(self) -> None:
        while True:
            self._wake.wait(self._seconds_until_due())
            self._wake.clear()
            self._engine.connected.wait()
            now, pending = monotonic(), self._pending()
            self._retries = {each.session: self._retries.get(each.session) or _Retry() for each in pending}
            for record in pending:
                retry = self._retries[record.session]
                if retry.not_before <= now and not retry.running:
                    retry.running, retry.not_before = True, inf
                    self._removals.spawn(self._attempt, record, retry)

    def _seconds_until_due(self) -> float | None:
        """Seconds until something may be due; None: nothing is left."""
        retries = [self._retries.get(record.session, NEW_RETRY) for record in self._pending()]
        due_times = [wait.not_before for wait in retries if not wait.running]  # of the others we hear
        return max(0.0, min(POLL_INTERVAL, min(due_times) - monotonic())) if due_times else None

    def _pending(self) -> list[ContainerRecord]:
        return [record for record in self._records if record.stage is Stage.CLEANUP]

    def _attempt(self, record: ContainerRecord, retry: _Retry) -> None:
        """Remove it, and say when to look again, unless somebody has called for that meanwhile."""
        failed = True
        try:
            self._remove(record)
            failed = False
        except (RequestError, EngineError) as error:
            log.info("what is left of session %s cannot be removed yet: %s", record.session, error)
        except Exception:
            log.exception("what is left of session %s cannot be removed", record.session)
        delay, retry.delay = (
            (retry.delay, min(2 * retry.delay, MAX_RETRY_DELAY)) if failed else (POLL_INTERVAL, RETRY_DELAY)
        )
        retry.running, retry.not_before = False, min(retry.not_before, monotonic() + delay)
        self._wake.set()

    def _remove(self, record: ContainerRecord) -> None:
        if self._containers.remove(record.container_ref):
            log.info("session %s: what was left of it is removed", record.session)
            self._records.delete(record.session)
        elif (
            record.container is not None
            or self._now() - max(record.since, self._engine.connected_at) > LATE_CREATE_TIMEOUT
        ):
            self._records.delete(record.session)


class _Retry:
    """Not to be looked at before ``until`` (monotonic seconds). ``pause``: the next; ``busy``: somebody is at it."""

    def __init__(self) -> None:
        self.not_before, self.delay, self.running = 0.0, RETRY_DELAY, False


NEW_RETRY = _Retry()
