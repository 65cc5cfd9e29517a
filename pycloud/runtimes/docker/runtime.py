"""Container sessions: containers of an engine, which this runtime only talks to."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import time
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore
from gevent.pool import Group

from pycloud.config import Config
from pycloud.errors import EngineUnavailable, RemoveFailed, RequestError
from pycloud.image_script import parse
from pycloud.runtimes import Exit, Found, Order, Started
from pycloud.runtimes.docker import events
from pycloud.runtimes.docker.container import creation
from pycloud.runtimes.docker.containers import Containers
from pycloud.runtimes.docker.engine import Engine
from pycloud.runtimes.docker.failures import Refusal
from pycloud.runtimes.docker.images import Images
from pycloud.runtimes.docker.policy import Policy
from pycloud.runtimes.docker.records import Record, Records, Stage
from pycloud.runtimes.docker.starter import Starter
from pycloud.runtimes.docker.survey import Survey
from pycloud.runtimes.docker.undone import Undone

log = logging.getLogger(__name__)

DEFAULT_HOST = "unix:///var/run/docker.sock"
#: Seconds between two looks whether a start is over, for what was heard of the session meanwhile.
PAUSE = 0.05


class DockerRuntime:
    """Runs containers for cloud ``cloud``. Raises ConfigError where the settings that concern them make no sense."""

    kind = "docker"

    def __init__(self, config: Config, cloud: str) -> None:
        self.on_found: Callable[[list[Found]], None] = lambda _found: None
        self._config, self._cloud = config, cloud
        self._policy = Policy.of(config)
        host = config.docker_host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        self._engine = Engine(host, config.docker_timeout, config.docker_parallel)
        self._records = Records(config.data_dir / "docker")
        self._containers = Containers(self._engine, config.docker_timeout)
        self._images = Images(self._engine)
        self._undone = Undone(self._engine, self._containers, self._records)
        parts = (self._containers, self._images, self._records, self._undone)
        self._starter = Starter(*parts, pull=config.docker_pull, parallel=config.docker_parallel)
        self._survey = Survey(cloud, self._containers, self._records, self._undone, self._starter.busy)
        self._events = events.Events(self._engine, cloud, self._on_connect, self._on_event)
        self._removals = BoundedSemaphore(config.docker_parallel)
        self._looks = Group()

    def host_name(self) -> str | None:
        """What the engine calls the host that it runs on; None while it has not been reached."""
        return self._engine.name

    def trouble(self) -> str | None:
        """Why the engine can start nothing at present; None: it can."""
        return self._engine.trouble()

    def open(self) -> None:
        """Read the records, and reach for the engine; one that is away is waited for in the background.

        Raises PyCloudError where the records cannot be read.
        """
        self._records.open()
        self._engine.open()

    def close(self) -> None:
        """Let go of the engine; containers go on."""
        self._events.stop()
        self._undone.stop()
        self._images.close()
        self._looks.kill()
        self._engine.close()

    def recover(self) -> list[Found]:
        """Every session that is there or remembered; while the engine is away, what the records say."""
        try:
            self._survey.catch_up()
        except (EngineUnavailable, Refusal) as error:
            log.warning("what became of the container sessions will be known later: %s", error)
        found = [record.found for record in self._records if record.found]
        for each in found:
            if each.exit:
                self._survey.ends.settle(each.session, each.exit)
        self._events.start()
        self._undone.start()
        return found

    def start(self, order: Order) -> Started:
        """Start a container. Raises RequestError."""
        script = parse(order.script)
        hostname = str(order.record.get("host", self._config.hostname))
        wanted = creation(script, order, self._policy, self._cloud, hostname, self._config.log_bytes)
        if trouble := self.trouble():
            raise EngineUnavailable(trouble)
        record = self._starter.start(order, wanted)
        if record.exit:
            self._survey.ends.settle(record.session, record.exit)
        assert record.started is not None
        return record.started

    def note(self, session: str, note: Mapping[str, Any]) -> None:
        """Merge ``note`` into the session's record; one that is gone has none."""
        if record := self._records.get(session):
            self._records.keep(replace(record, record={**record.record, **note}))

    def wait(self, session: str) -> Exit:
        """How the session ended, once it has."""
        return self._survey.ends.wait(session)

    def stop(self, session: str, grace: float, note: Mapping[str, Any]) -> bool:
        """End the session and remove its container; True when it was there.

        Raises RemoveFailed, and EngineUnavailable, after which it may be called again.
        """
        record = self._records.get(session)
        if record is None or record.stage in (Stage.STARTING, Stage.UNDONE):
            return False
        if record.stage in (Stage.RUNNING, Stage.ENDED):
            record = self._write(record.at(Stage.REMOVING, time(), removal=dict(note)))
        if record.stage is Stage.REMOVING:
            self._end(record, grace)
            if record := self._records.get(session):
                self._records.keep(record.at(Stage.REMOVED, time()))
        return True

    def forget(self, session: str) -> None:
        """Delete all that is left of it, now or as soon as the engine can be asked."""
        self._survey.forget(session)
        record = self._records.get(session)
        if record is None:
            return
        if record.stage is not Stage.REMOVED:
            try:
                self._remove(record)
            except RequestError as error:
                log.warning("session %s cannot be forgotten yet: %s", session, error)
                self._undone.add(record)
                return
        self._records.delete(session)

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        """The newest output, from the engine's logs. Raises FileNotFoundError, and EngineUnavailable."""
        record = self._records.get(session)
        if record is None:
            raise FileNotFoundError(session)
        return self._containers.tail(record.target, count)

    def _end(self, record: Record, grace: float) -> None:
        """End a session and remove its container."""
        if grace > 0 and record.exit is None:
            try:
                self._containers.stop(record.target, grace if record.grace is None else record.grace)
                self._survey.look(record.session)
            except Refusal as refusal:
                log.warning("session %s is removed without grace: %s", record.session, refusal)
        self._remove(record)
        self._survey.ends.settle(record.session, Exit(None, "it was removed", time()))

    def _remove(self, record: Record) -> None:
        """Remove its container. Raises RemoveFailed, EngineUnavailable."""
        try:
            with self._removals:
                self._containers.remove(record.target)
        except Refusal as refusal:
            raise RemoveFailed(refusal.message) from refusal

    def _write(self, record: Record) -> Record:
        try:
            return self._records.write(record)
        except OSError as error:
            raise RemoveFailed(f"its record cannot be written: {error.strerror}") from error

    def _on_connect(self) -> None:
        """Events may have been missed, or the engine is there for the first time."""
        if found := self._survey.catch_up():
            self._looks.spawn(self.on_found, found)  # events go on meanwhile
        self._undone.wake()

    def _on_event(self, event: events.Event) -> None:
        if event.action == events.OOM:
            self._survey.short_of_memory(event.session)
        elif event.action in (events.CREATE, events.START):
            self._undone.wake()
        else:
            self._looks.spawn(self._look, event)

    def _look(self, event: events.Event) -> None:
        while event.session in self._starter.busy:
            gevent.sleep(PAUSE)
        record = self._records.get(event.session)
        if record is None or record.stage is not Stage.RUNNING:
            return
        try:
            self._survey.look(event.session, event.exit_code)
        except (EngineUnavailable, Refusal) as error:
            log.info("how session %s ended will be known later: %s", event.session, error)
