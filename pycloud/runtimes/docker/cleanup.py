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
from pycloud.runtimes.docker.engine.client import Engine
from pycloud.runtimes.docker.engine.containers import Containers
from pycloud.runtimes.docker.engine.errors import Refusal
from pycloud.runtimes.docker.records import Record, Records, Stage

log = logging.getLogger(__name__)

#: Seconds between two looks while there is something to be done.
LOOK = 30.0
#: Seconds before one that could not be removed is tried again: at first, and at most.
PAUSE, LONG_PAUSE = 5.0, 600.0
#: Seconds for which an engine that answers may yet make a container that it was asked for.
LATE = 600.0
#: Containers that are removed side by side: some take forever.
SIDE_BY_SIDE = 8


class Undone:
    """Removes what there is of the records in stage UNDONE, and then forgets them."""

    def __init__(
        self, engine: Engine, containers: Containers, records: Records, now: Callable[[], float] = time
    ) -> None:
        self._engine, self._containers, self._records, self._now = engine, containers, records, now
        self._wake = Event()
        self._waits: dict[str, _Wait] = {}
        self._removals = Pool(SIDE_BY_SIDE)
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """From now on do so in the background."""
        self._greenlet = gevent.spawn(self._sweep_for_ever)

    def stop(self) -> None:
        """Leave what is left to the next daemon."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._removals.kill()

    def add(self, record: Record) -> None:
        """This session has to go."""
        self._records.keep(record.at(Stage.UNDONE, self._now()))
        self.wake(record.session)

    def wake(self, session: str | None = None) -> None:
        """There may be something to remove now: of one session, or (None) of all."""
        for each in [session] if session else list(self._waits):
            if wait := self._waits.get(each):
                wait.until = 0.0
        self._wake.set()

    def _sweep_for_ever(self) -> None:
        while True:
            self._wake.wait(self._patience())
            self._wake.clear()
            self._engine.connected.wait()
            now, left = monotonic(), self._left()
            self._waits = {each.session: self._waits.get(each.session) or _Wait() for each in left}
            for record in left:
                wait = self._waits[record.session]
                if wait.until <= now and not wait.busy:
                    wait.busy, wait.until = True, inf
                    self._removals.spawn(self._try, record, wait)

    def _patience(self) -> float | None:
        """Seconds until something may be due; None: nothing is left."""
        waits = [self._waits.get(record.session, NEW) for record in self._left()]
        idle = [wait.until for wait in waits if not wait.busy]  # of the others we hear
        return max(0.0, min(LOOK, min(idle) - monotonic())) if idle else None

    def _left(self) -> list[Record]:
        return [record for record in self._records if record.stage is Stage.UNDONE]

    def _try(self, record: Record, wait: _Wait) -> None:
        """Remove it, and say when to look again, unless somebody has called for that meanwhile."""
        failed = True
        try:
            self._remove(record)
            failed = False
        except (RequestError, Refusal) as error:
            log.info("what is left of session %s cannot be removed yet: %s", record.session, error)
        except Exception:
            log.exception("what is left of session %s cannot be removed", record.session)
        pause, wait.pause = (wait.pause, min(2 * wait.pause, LONG_PAUSE)) if failed else (LOOK, PAUSE)
        wait.busy, wait.until = False, min(wait.until, monotonic() + pause)
        self._wake.set()

    def _remove(self, record: Record) -> None:
        if self._containers.remove(record.target):
            log.info("session %s: what was left of it is removed", record.session)
            self._records.delete(record.session)
        elif record.container is not None or self._now() - max(record.since, self._engine.since) > LATE:
            self._records.delete(record.session)


class _Wait:
    """Not to be looked at before ``until`` (monotonic seconds). ``pause``: the next; ``busy``: somebody is at it."""

    def __init__(self) -> None:
        self.until, self.pause, self.busy = 0.0, PAUSE, False


NEW = _Wait()
