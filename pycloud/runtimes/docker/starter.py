"""Starts containers: from the options to a running container. A start that fails leaves no container."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from gevent.lock import BoundedSemaphore

from pycloud.errors import ImageNotFound, RequestError, StartFailed
from pycloud.runtimes.base import SessionSpec, Started
from pycloud.runtimes.docker.busy_sessions import BusySessions
from pycloud.runtimes.docker.cleanup import CleanupQueue
from pycloud.runtimes.docker.engine.containers import Containers, Inspected
from pycloud.runtimes.docker.engine.errors import NOT_FOUND, UNKNOWN_IMAGE_MESSAGES, EngineError, start_failure
from pycloud.runtimes.docker.engine.images import ImagePuller
from pycloud.runtimes.docker.records import ContainerRecord, ContainerRecords, Stage
from pycloud.runtimes.docker.spec.container import ContainerConfig, exit_of, started_of

#: Pulls per start. An image may be deleted right after it was pulled, but hardly again and again.
MAX_PULLS = 2


class ContainerStarter:
    """Starts containers. ``pull``: missing, always or never; ``parallel``: how many are started in parallel.

    ``busy``: the sessions that are being started; others may add sessions on which they operate. ``now``: Unix seconds.
    """

    def __init__(
        self,
        containers: Containers,
        images: ImagePuller,
        records: ContainerRecords,
        cleanup: CleanupQueue,
        *,
        pull: str,
        parallel: int,
        now: Callable[[], float] = time,
    ) -> None:
        self._containers, self._images, self._records, self._cleanup = containers, images, records, cleanup
        self._pull, self._now = pull, now
        self._slots = BoundedSemaphore(parallel)
        self.busy = BusySessions()

    def start(self, spec: SessionSpec, container_config: ContainerConfig) -> ContainerRecord:
        """Start a container; return its record, with ``started``, and ``exit`` where it has already ended.

        Raises RequestError.
        """
        pulls = 0
        if self._pull == "always":
            pulls += 1
            self._pull_image(spec, container_config)
        while True:
            try:
                return self._attempt(spec, container_config)
            except _ImageMissing as error:
                if self._pull == "never" or pulls == MAX_PULLS:
                    raise ImageNotFound(str(error)) from error
            pulls += 1
            self._pull_image(spec, container_config)

    def _pull_image(self, spec: SessionSpec, container_config: ContainerConfig) -> None:
        self._images.pull(container_config.image, container_config.kwargs.get("platform"), spec.on_progress)

    def _attempt(self, spec: SessionSpec, container_config: ContainerConfig) -> ContainerRecord:
        with self._slots, self.busy.hold(spec.session):
            return self._create_and_start(spec, container_config)

    def _create_and_start(self, spec: SessionSpec, container_config: ContainerConfig) -> ContainerRecord:
        """Create, start and inspect the container. A greenlet killed here leaves the record for the next daemon."""
        session, now = spec.session, self._now()
        record = ContainerRecord(session, Stage.STARTING, now, dict(spec.record), grace=container_config.stop_grace)
        try:
            self._records.write(record)
            container = self._create(container_config)
        except (_ImageMissing, StartFailed):
            self._records.delete(session)
            raise
        except OSError as error:
            raise StartFailed(f"its record cannot be written: {error.strerror}", retryable=True) from error
        except Exception:
            self._cleanup.add(record)  # the engine may still create the container
            raise
        try:
            inspected = self._start_container(container)
            changes = {"container": container, "started": _require_started(inspected), "exit": exit_of(inspected)}
            stage = Stage.ENDED if changes["exit"] else Stage.RUNNING
            return self._records.write(record.with_stage(stage, self._now(), **changes))
        except Exception as error:
            self._roll_back(record.with_stage(Stage.CLEANUP, now, container=container))
            if isinstance(error, OSError):
                raise StartFailed(f"its record cannot be written: {error.strerror}", retryable=True) from error
            raise

    def _create(self, container_config: ContainerConfig) -> str:
        try:
            return self._containers.create(container_config)
        except EngineError as error:
            if error.status == NOT_FOUND and any(each in error.message.lower() for each in UNKNOWN_IMAGE_MESSAGES):
                raise _ImageMissing(error.message) from error
            raise start_failure(error) from error

    def _start_container(self, container: str) -> Inspected:
        try:
            self._containers.start(container)
            inspected = self._containers.inspect(container)
        except EngineError as error:
            raise start_failure(error) from error
        if inspected is None:
            raise StartFailed(
                "its container was removed by another client of the engine while it was started", retryable=True
            )
        return inspected

    def _roll_back(self, record: ContainerRecord) -> None:
        """Remove the container and the record, now or as soon as the engine is available."""
        try:
            self._containers.remove(record.container_ref)
        except (RequestError, EngineError):
            self._cleanup.add(record)
        else:
            self._records.delete(record.session)


def _require_started(inspected: Inspected) -> Started:
    started = started_of(inspected)
    if started is None:
        raise StartFailed("the engine reports that the container was started but never ran")
    return started


class _ImageMissing(Exception):
    """The engine does not have the image."""
