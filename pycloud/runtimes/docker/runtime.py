"""Container sessions: containers of an engine, which this runtime only sends requests to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from time import time
from typing import Any

from gevent.lock import BoundedSemaphore
from gevent.pool import Group

from pycloud.config import Config, detection
from pycloud.config.identity import ID_FILE
from pycloud.errors import ConfigError, EngineUnavailable, RemoveFailed, RequestError
from pycloud.protocol.container_spec import parse
from pycloud.runtimes.base import Exit, OutputReader, ReadFrom, RecoveredSession, Runtime, SessionSpec, Started, Usage
from pycloud.runtimes.docker.cleanup import CleanupQueue
from pycloud.runtimes.docker.engine import events
from pycloud.runtimes.docker.engine.client import EngineClient
from pycloud.runtimes.docker.engine.containers import Containers
from pycloud.runtimes.docker.engine.errors import EngineError
from pycloud.runtimes.docker.engine.images import ImagePuller
from pycloud.runtimes.docker.engine.log_reader import ContainerLogReader
from pycloud.runtimes.docker.engine.stats import parse_details, parse_stats
from pycloud.runtimes.docker.monitor import REMOVED_BY_US, ContainerMonitor
from pycloud.runtimes.docker.offline_removal import remove_all
from pycloud.runtimes.docker.records import ContainerRecord, ContainerRecords, Stage
from pycloud.runtimes.docker.spec.container import build_container_config
from pycloud.runtimes.docker.spec.policy import Policy
from pycloud.runtimes.docker.starter import ContainerStarter

log = logging.getLogger(__name__)


class DockerRuntime(Runtime):
    """Runs containers for the node ``node``; ``config`` has no values ``auto`` left (``config/detection.py``).

    Raises ConfigError where the settings for containers are invalid.
    """

    kind = "docker"

    def __init__(self, config: Config, node: str, _nofile: int = 0) -> None:
        self.on_recovered: Callable[[list[RecoveredSession]], None] = lambda _found: None
        self._config, self._node = config, node
        self._policy = Policy.from_config(config)
        host = str(config.docker_host)
        self._engine = EngineClient(host, config.docker_timeout, config.docker_parallel)
        self._records = ContainerRecords(config.data_dir / "docker", node)
        self._containers = Containers(self._engine, config.docker_timeout)
        self._images = ImagePuller(self._engine)
        self._cleanup = CleanupQueue(self._engine, self._containers, self._records)
        parts = (self._containers, self._images, self._records, self._cleanup)
        self._starter = ContainerStarter(*parts, pull=config.docker_pull, parallel=config.docker_parallel)
        self._busy = self._starter.busy
        self._monitor = ContainerMonitor(node, self._containers, self._records, self._cleanup, self._busy)
        self._event_stream = events.EventStream(self._engine, node, self._on_connect, self._on_event)
        self._removal_slots = BoundedSemaphore(config.docker_parallel)
        self._background = Group()

    @classmethod
    def check(cls, config: Config) -> None:
        """Raise ConfigError where the container policy is invalid."""
        try:
            Policy.from_config(config)
        except ConfigError as error:
            name = error.message.partition(":")[0].replace("docker.", "docker_")
            raise ConfigError(f"{config.sources.get(name, 'settings')}: {error.message}") from error

    @classmethod
    def detect(cls, config: Config) -> str | None:
        """Return why the engine's socket cannot be used; None: it can, or the engine is on the network."""
        return detection.engine_problem(str(config.docker_host))

    @classmethod
    def end_all(cls, config: Config) -> int | None:
        """End all containers of the node; return how many, None where none was ever started. Raises PyCloudError."""
        node, records = config.data_dir / ID_FILE, config.data_dir / "docker"
        if not node.exists() or not any(records.glob("*.json")):
            return None
        engine = detection.resolve_auto(config).docker_host
        return remove_all(str(engine), node.read_text().strip(), records, config.stop_grace)

    def host_name(self) -> str | None:
        return self._engine.host_name

    def unavailable_reason(self) -> str | None:
        return self._engine.unavailable_reason()

    def connect(self) -> None:
        """Read the records and connect to the engine; one that is offline is awaited in the background.

        Raises PyCloudError where the records cannot be read.
        """
        self._records.load()
        self._engine.connect()

    def disconnect(self) -> None:
        self._event_stream.stop()
        self._cleanup.stop()
        self._images.close()
        self._background.kill()
        self._engine.disconnect()

    def recover(self) -> list[RecoveredSession]:
        """Return every session that exists or has a record; while the engine is offline, only the records count."""
        try:
            self._monitor.resync(lambda _found: None)  # they have records afterwards
        except (EngineUnavailable, EngineError) as error:
            log.warning("the state of the container sessions is not known yet: %s", error)
        found = [record.recovered for record in self._records if record.recovered]
        for each in found:
            if each.exit:
                self._monitor.exits.set_exit(each.session, each.exit)
        return found

    def start_watching(self) -> None:
        """Follow the events of the containers, and remove those that must be removed."""
        self._monitor.exclusive = True
        self._event_stream.start()
        self._cleanup.start()

    def start(self, spec: SessionSpec) -> Started:
        image_script = parse(spec.script)
        hostname = str(spec.record.get("host", self._config.hostname))
        container_config = build_container_config(
            image_script, spec, self._policy, self._node, hostname, self._config.log_bytes
        )
        if reason := self.unavailable_reason():
            raise EngineUnavailable(reason)
        record = self._starter.start(spec, container_config)
        if record.exit:
            self._monitor.exits.set_exit(record.session, record.exit)
        assert record.started is not None
        return record.started

    def annotate(self, session: str, annotations: Mapping[str, Any]) -> None:
        if record := self._records.get(session):
            self._records.write_best_effort(replace(record, record={**record.record, **annotations}))

    def wait(self, session: str) -> Exit:
        return self._monitor.exits.wait(session)

    def stop(self, session: str, grace: float, removal: Mapping[str, Any], max_grace: float = inf) -> bool:
        """End the session and remove its container; return True if it existed.

        Raises RemoveFailed and EngineUnavailable; the session is then unchanged, and may be stopped again.
        """
        record = self._records.get(session)
        if record is None or record.stage in (Stage.STARTING, Stage.CLEANUP):
            return False
        if record.grace is not None and grace > 0:
            grace = min(record.grace, max_grace)
        try:
            with self._busy.hold(session):
                self._stop(record, grace, removal)
        except RequestError:
            self._revert_removal(session)
            raise
        return True

    def forget(self, session: str) -> None:
        """Delete everything that is left of the session, now or as soon as the engine is available."""
        self._monitor.forget(session)
        record = self._records.get(session)
        if record is None:
            return
        if record.stage is not Stage.REMOVED:
            try:
                self._remove_container(record)
            except RequestError as error:
                log.warning("the record of session %s cannot be deleted yet: %s", session, error)
                self._cleanup.add(record)
                return
        self._records.delete(session)

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        record = self._records.get(session)
        if record is None:
            raise FileNotFoundError(session)
        return self._containers.tail(record.container_ref, count)

    def follow(self, session: str, read_from: ReadFrom, once: bool, on_output: Callable[[], None]) -> OutputReader:
        record = self._records.get(session)
        if record is None:
            raise FileNotFoundError(session)
        try:
            return ContainerLogReader(self._engine, record.container_ref, read_from, once, on_output)
        except EngineError as error:
            raise FileNotFoundError(error.message) from error

    def usage(self, session: str) -> Usage | None:
        record = self._records.get(session)
        if record is None or record.stage is not Stage.RUNNING:
            return None
        try:
            stats = self._containers.stats(record.container_ref)
        except EngineError as error:
            raise EngineUnavailable(error.message) from error
        return None if stats is None else parse_stats(stats)

    def details(self, session: str) -> Mapping[str, Any]:
        record = self._records.get(session)
        if record is None:
            return {}
        try:
            inspected = self._containers.inspect(record.container_ref)
        except EngineError as error:
            raise EngineUnavailable(error.message) from error
        return {"engine": self._engine.host} | ({} if inspected is None else parse_details(inspected))

    def _stop(self, record: ContainerRecord, grace: float, removal: Mapping[str, Any]) -> None:
        if record.stage in (Stage.RUNNING, Stage.ENDED):
            if removal and (reason := self.unavailable_reason()):
                raise EngineUnavailable(reason)
            record = self._write_record(record.with_stage(Stage.REMOVING, time(), removal=dict(removal)))
        if record.stage is Stage.REMOVING:
            self._stop_and_remove(record, grace)
            if current := self._records.get(record.session):
                self._records.write_best_effort(current.with_stage(Stage.REMOVED, time()))

    def _revert_removal(self, session: str) -> None:
        """Withdraw a removal that was answered with an error: it must not be carried out later."""
        record = self._records.get(session)
        if record is None or record.stage is not Stage.REMOVING or not record.removal:
            return
        stage = Stage.ENDED if record.exit else Stage.RUNNING
        self._records.write_best_effort(record.with_stage(stage, time(), removal=None))
        self._background.spawn(self._refresh, session)  # the engine may have done part of it, or all

    def _stop_and_remove(self, record: ContainerRecord, grace: float) -> None:
        """End a session and remove its container."""
        if grace > 0 and record.exit is None:
            try:
                self._containers.stop(record.container_ref, grace)
                self._monitor.refresh(record.session)
            except EngineError as error:
                log.warning("session %s is removed without grace: %s", record.session, error)
        self._remove_container(record)
        self._monitor.exits.set_exit(record.session, Exit(None, REMOVED_BY_US, time()))

    def _remove_container(self, record: ContainerRecord) -> None:
        """Remove the container of a session. Raises RemoveFailed, EngineUnavailable."""
        try:
            with self._removal_slots:
                self._containers.remove(record.container_ref)
        except EngineError as error:
            raise RemoveFailed(error.message) from error

    def _write_record(self, record: ContainerRecord) -> ContainerRecord:
        try:
            return self._records.write(record)
        except OSError as error:
            raise RemoveFailed(f"its record cannot be written: {error.strerror}") from error

    def _on_connect(self) -> None:
        """Resync: events may have been missed, or the engine is connected for the first time."""
        try:
            self._monitor.resync(
                lambda found: self._background.spawn(self.on_recovered, found)
            )  # in the background, so that events are not held up
            self._background.spawn(self._refresh_all)
        finally:
            self._cleanup.schedule()

    def _on_event(self, event: events.ContainerEvent) -> None:
        if event.action == events.OOM:
            self._monitor.mark_oom(event.session)
            return
        if event.action != events.DIE:
            self._cleanup.schedule(event.session)  # the container was created late, or is now removed
        if event.action == events.START:
            self._background.spawn(self._stop_restarted, event.session)
        elif event.action != events.CREATE:
            self._background.spawn(self._refresh, event.session, event.exit_code)

    def _refresh(self, session: str, exit_code: int | None = None) -> None:
        self._busy.wait_until_idle(session)
        try:
            self._monitor.refresh(session, exit_code)
        except (EngineUnavailable, EngineError) as error:
            log.info("the state of session %s is not known yet: %s", session, error)

    def _refresh_all(self) -> None:
        """Refresh all running sessions: the engine's list does not show which containers were restarted meanwhile."""
        for record in self._records:
            if record.stage is Stage.RUNNING:
                self._refresh(record.session)

    def _stop_restarted(self, session: str) -> None:
        """Stop a container that was started after its session's end. Waits for operations in progress."""
        self._busy.wait_until_idle(session)
        try:
            self._monitor.stop_restarted(session)
        except (EngineUnavailable, EngineError) as error:
            log.info(
                "session %s: its container was restarted and cannot be stopped yet: %s",
                session,
                error,
            )
