"""Sessions that are to leave nothing: their containers are removed, also those that the engine makes only later.

An engine that was frozen, or took too long, still does what it was asked when nobody waits for it any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import time

import gevent
from gevent.event import Event

from pycloud.errors import RequestError
from pycloud.runtimes.docker.containers import Containers
from pycloud.runtimes.docker.engine import Engine
from pycloud.runtimes.docker.failures import Refusal
from pycloud.runtimes.docker.records import Record, Records, Stage

log = logging.getLogger(__name__)

#: Seconds between two looks while there is something to be done.
LOOK = 30.0
#: Seconds for which an engine that answers may yet make a container that it was asked for.
LATE = 600.0


class Undone:
    """Removes what there is of the records in stage UNDONE, and then forgets them."""

    def __init__(
        self, engine: Engine, containers: Containers, records: Records, now: Callable[[], float] = time
    ) -> None:
        self._engine, self._containers, self._records, self._now = engine, containers, records, now
        self._wake = Event()
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """From now on do so in the background."""
        self._greenlet = gevent.spawn(self._sweep_for_ever)

    def stop(self) -> None:
        """Leave what is left to the next daemon."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def add(self, record: Record) -> None:
        """This session has to go."""
        self._records.keep(record.at(Stage.UNDONE, self._now()))
        self.wake()

    def wake(self) -> None:
        """There may be something to remove now."""
        self._wake.set()

    def _sweep_for_ever(self) -> None:
        while True:
            self._wake.wait(LOOK if self._left() else None)
            self._wake.clear()
            self._engine.connected.wait()
            for record in self._left():
                try:
                    self._remove(record)
                except (RequestError, Refusal) as error:
                    log.info("what is left of session %s cannot be removed yet: %s", record.session, error)
                except Exception:
                    log.exception("what is left of session %s cannot be removed", record.session)

    def _left(self) -> list[Record]:
        return [record for record in self._records if record.stage is Stage.UNDONE]

    def _remove(self, record: Record) -> None:
        if self._containers.remove(record.target):
            log.info("session %s: what was left of it is removed", record.session)
            self._records.delete(record.session)
        elif record.container is not None or self._now() - max(record.since, self._engine.since) > LATE:
            self._records.delete(record.session)
