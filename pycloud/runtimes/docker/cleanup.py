"""Sessions that must leave nothing behind: removes their containers, including those that the engine creates later.

An engine that was frozen or slow still carries out a call after the caller has given up waiting for it.
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

#: Seconds between two attempts while there are records to remove.
POLL_INTERVAL = 30.0
#: Seconds before a failed removal is retried: at first, and at most.
RETRY_DELAY, MAX_RETRY_DELAY = 5.0, 600.0
#: Seconds for which a responding engine may still create a container that was requested before.
LATE_CREATE_TIMEOUT = 600.0
#: Containers that are removed in parallel: some removals never finish.
MAX_PARALLEL = 8


class CleanupQueue:
    """Removes the containers of records in the stage CLEANUP, and then the records. ``now`` returns Unix seconds."""

    def __init__(
        self, engine: EngineClient, containers: Containers, records: ContainerRecords, now: Callable[[], float] = time
    ) -> None:
        self._engine, self._containers, self._records, self._now = engine, containers, records, now
        self._wake = Event()
        self._retries: dict[str, _Retry] = {}
        self._removals = Pool(MAX_PARALLEL)
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Start removing in the background."""
        self._greenlet = gevent.spawn(self._sweep_for_ever)

    def stop(self) -> None:
        """Stop; the next daemon removes the rest."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._removals.kill()

    def add(self, record: ContainerRecord) -> None:
        """Mark the record of a session for removal, which is then done in the background."""
        self._records.write_best_effort(record.with_stage(Stage.CLEANUP, self._now()))
        self.schedule(record.session)

    def schedule(self, session: str | None = None) -> None:
        """Try again now: for one session, or (None) for all, since there may be something to remove."""
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
        """Return the seconds until the next removal may be due; None where there is nothing to remove."""
        retries = [self._retries.get(record.session, NEW_RETRY) for record in self._pending()]
        due_times = [wait.not_before for wait in retries if not wait.running]  # the others wake the loop at their end
        return max(0.0, min(POLL_INTERVAL, min(due_times) - monotonic())) if due_times else None

    def _pending(self) -> list[ContainerRecord]:
        return [record for record in self._records if record.stage is Stage.CLEANUP]

    def _attempt(self, record: ContainerRecord, retry: _Retry) -> None:
        """Try to remove a session and schedule the next attempt, unless one was requested meanwhile."""
        failed = True
        try:
            self._remove(record)
            failed = False
        except (RequestError, EngineError) as error:
            log.info("session %s: its container cannot be removed yet: %s; trying again", record.session, error)
        except Exception:
            log.exception("session %s: its container cannot be removed; trying again", record.session)
        delay, retry.delay = (
            (retry.delay, min(2 * retry.delay, MAX_RETRY_DELAY)) if failed else (POLL_INTERVAL, RETRY_DELAY)
        )
        retry.running, retry.not_before = False, min(retry.not_before, monotonic() + delay)
        self._wake.set()

    def _remove(self, record: ContainerRecord) -> None:
        if self._containers.remove(record.container_ref):
            log.info("session %s: its leftover container was removed", record.session)
            self._records.delete(record.session)
        elif (
            record.container is not None
            or self._now() - max(record.since, self._engine.connected_at) > LATE_CREATE_TIMEOUT
        ):
            self._records.delete(record.session)


class _Retry:
    """The retry of one session, not before ``not_before`` (monotonic seconds).

    ``delay``: seconds until the retry after the next failure. ``running``: an attempt is in progress.
    """

    def __init__(self) -> None:
        self.not_before, self.delay, self.running = 0.0, RETRY_DELAY, False


NEW_RETRY = _Retry()
