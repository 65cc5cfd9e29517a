"""From what is to be created to a container that runs; nothing of it stays where that fails."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from gevent.lock import BoundedSemaphore

from pycloud.errors import ImageNotFound, RequestError, StartFailed
from pycloud.runtimes.base import Order, Started
from pycloud.runtimes.docker.cleanup import Undone
from pycloud.runtimes.docker.engine.containers import Containers, Inspected
from pycloud.runtimes.docker.engine.errors import NOT_FOUND, UNKNOWN_IMAGE, Refusal, start_failure
from pycloud.runtimes.docker.engine.images import Images
from pycloud.runtimes.docker.records import Record, Records, Stage
from pycloud.runtimes.docker.session_locks import Busy
from pycloud.runtimes.docker.spec.container import Creation, exit_of, started_of

#: Somebody may delete an image right after it was pulled, but hardly again and again.
MOST_PULLS = 2


class Starter:
    """``pull``: missing, always or never; ``parallel``: how many containers are started side by side.

    ``busy``: the sessions that are being started; others may add to it what they are at.
    """

    def __init__(
        self,
        containers: Containers,
        images: Images,
        records: Records,
        undone: Undone,
        *,
        pull: str,
        parallel: int,
        now: Callable[[], float] = time,
    ) -> None:
        self._containers, self._images, self._records, self._undone = containers, images, records, undone
        self._pull, self._now = pull, now
        self._places = BoundedSemaphore(parallel)
        self.busy = Busy()

    def start(self, order: Order, creation: Creation) -> Record:
        """Start it; its record, with ``started``, and ``exit`` where it has ended already. Raises RequestError."""
        pulls = 0
        if self._pull == "always":
            pulls += 1
            self._fetch(order, creation)
        while True:
            try:
                return self._attempt(order, creation)
            except _NoImage as error:
                if self._pull == "never" or pulls == MOST_PULLS:
                    raise ImageNotFound(str(error)) from error
            pulls += 1
            self._fetch(order, creation)

    def _fetch(self, order: Order, creation: Creation) -> None:
        self._images.pull(creation.image, creation.kwargs.get("platform"), order.progress)

    def _attempt(self, order: Order, creation: Creation) -> Record:
        with self._places, self.busy.at(order.session):
            return self._make(order, creation)

    def _make(self, order: Order, creation: Creation) -> Record:
        """Three calls to the engine. A greenlet that is killed here leaves its record, for the next daemon."""
        session, now = order.session, self._now()
        record = Record(session, Stage.STARTING, now, dict(order.record), grace=creation.stop_grace)
        try:
            self._records.write(record)
            container = self._create(creation)
        except (_NoImage, StartFailed):
            self._records.delete(session)
            raise
        except OSError as error:
            raise StartFailed(f"its record cannot be written: {error.strerror}", passing=True) from error
        except Exception:
            self._undone.add(record)  # the engine may do it yet
            raise
        try:
            inspected = self._run(container)
            changes = {"container": container, "started": _started(inspected), "exit": exit_of(inspected)}
            stage = Stage.ENDED if changes["exit"] else Stage.RUNNING
            return self._records.write(record.at(stage, self._now(), **changes))
        except Exception as error:
            self._undo(record.at(Stage.UNDONE, now, container=container))
            if isinstance(error, OSError):
                raise StartFailed(f"its record cannot be written: {error.strerror}", passing=True) from error
            raise

    def _create(self, creation: Creation) -> str:
        try:
            return self._containers.create(creation)
        except Refusal as refusal:
            if refusal.status == NOT_FOUND and any(each in refusal.message.lower() for each in UNKNOWN_IMAGE):
                raise _NoImage(refusal.message) from refusal
            raise start_failure(refusal) from refusal

    def _run(self, container: str) -> Inspected:
        try:
            self._containers.start(container)
            inspected = self._containers.inspect(container)
        except Refusal as refusal:
            raise start_failure(refusal) from refusal
        if inspected is None:
            raise StartFailed("its container was removed by somebody else while it was started", passing=True)
        return inspected

    def _undo(self, record: Record) -> None:
        """Remove what there is of it now, or as soon as the engine can be asked."""
        try:
            self._containers.remove(record.target)
        except (RequestError, Refusal):
            self._undone.add(record)
        else:
            self._records.delete(record.session)


def _started(inspected: Inspected) -> Started:
    started = started_of(inspected)
    if started is None:
        raise StartFailed("the engine says that it started, and that it never ran")
    return started


class _NoImage(Exception):
    """The engine has no such image."""
