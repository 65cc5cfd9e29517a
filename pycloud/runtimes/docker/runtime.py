"""Container sessions: containers of an engine, which this runtime only talks to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from time import time
from typing import Any

from gevent.lock import BoundedSemaphore
from gevent.pool import Group

from pycloud.config import Config
from pycloud.errors import EngineUnavailable, RemoveFailed, RequestError
from pycloud.protocol.container_spec import parse
from pycloud.runtimes.base import Exit, Found, Order, Reader, Start, Started, Usage
from pycloud.runtimes.docker.cleanup import Undone
from pycloud.runtimes.docker.engine import events
from pycloud.runtimes.docker.engine.client import Engine
from pycloud.runtimes.docker.engine.containers import Containers
from pycloud.runtimes.docker.engine.errors import Refusal
from pycloud.runtimes.docker.engine.images import Images
from pycloud.runtimes.docker.engine.log_reader import LogReader
from pycloud.runtimes.docker.engine.stats import details_of, usage_of
from pycloud.runtimes.docker.monitor import REMOVED, Survey
from pycloud.runtimes.docker.records import Record, Records, Stage
from pycloud.runtimes.docker.spec.container import creation
from pycloud.runtimes.docker.spec.policy import Policy
from pycloud.runtimes.docker.starter import Starter

log = logging.getLogger(__name__)


class DockerRuntime:
    """Runs containers for cloud ``cloud``; ``config`` is settled (surroundings.py).

    Raises ConfigError where the settings that concern them make no sense.
    """

    kind = "docker"

    def __init__(self, config: Config, cloud: str) -> None:
        self.on_found: Callable[[list[Found]], None] = lambda _found: None
        self._config, self._cloud = config, cloud
        self._policy = Policy.of(config)
        host = str(config.docker_host)
        self._engine = Engine(host, config.docker_timeout, config.docker_parallel)
        self._records = Records(config.data_dir / "docker", cloud)
        self._containers = Containers(self._engine, config.docker_timeout)
        self._images = Images(self._engine)
        self._undone = Undone(self._engine, self._containers, self._records)
        parts = (self._containers, self._images, self._records, self._undone)
        self._starter = Starter(*parts, pull=config.docker_pull, parallel=config.docker_parallel)
        self._busy = self._starter.busy
        self._survey = Survey(cloud, self._containers, self._records, self._undone, self._busy)
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
            self._survey.catch_up(lambda _found: None)  # they are on record then
        except (EngineUnavailable, Refusal) as error:
            log.warning("what became of the container sessions will be known later: %s", error)
        found = [record.found for record in self._records if record.found]
        for each in found:
            if each.exit:
                self._survey.ends.settle(each.session, each.exit)
        return found

    def begin(self) -> None:
        """Follow what happens to the containers, and remove those that have to go."""
        self._survey.alone = True
        self._events.start()
        self._undone.start()

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

    def stop(self, session: str, grace: float, note: Mapping[str, Any], at_most: float = inf) -> bool:
        """End the session and remove its container; True when it was there.

        Raises RemoveFailed, and EngineUnavailable; then the session is what it was, and may be stopped again.
        """
        record = self._records.get(session)
        if record is None or record.stage in (Stage.STARTING, Stage.UNDONE):
            return False
        if record.grace is not None and grace > 0:
            grace = min(record.grace, at_most)
        try:
            with self._busy.at(session):
                self._stop(record, grace, note)
        except RequestError:
            self._take_back(session)
            raise
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

    def follow(self, session: str, start: Start, once: bool, more: Callable[[], None]) -> Reader:
        """Its output as it grows. Raises FileNotFoundError, EngineUnavailable, and BadRequest."""
        record = self._records.get(session)
        if record is None:
            raise FileNotFoundError(session)
        try:
            return LogReader(self._engine, record.target, start, once, more)
        except Refusal as refusal:
            raise FileNotFoundError(refusal.message) from refusal

    def usage(self, session: str) -> Usage | None:
        """What the engine measures just now; None: it does not run. Raises EngineUnavailable."""
        record = self._records.get(session)
        if record is None or record.stage is not Stage.RUNNING:
            return None
        try:
            stats = self._containers.stats(record.target)
        except Refusal as refusal:
            raise EngineUnavailable(refusal.message) from refusal
        return None if stats is None else usage_of(stats)

    def details(self, session: str) -> Mapping[str, Any]:
        """What the engine knows of its container. Raises EngineUnavailable."""
        record = self._records.get(session)
        if record is None:
            return {}
        try:
            inspected = self._containers.inspect(record.target)
        except Refusal as refusal:
            raise EngineUnavailable(refusal.message) from refusal
        return {"engine": self._engine.host} | ({} if inspected is None else details_of(inspected))

    def _stop(self, record: Record, grace: float, note: Mapping[str, Any]) -> None:
        if record.stage in (Stage.RUNNING, Stage.ENDED):
            if note and (trouble := self.trouble()):
                raise EngineUnavailable(trouble)
            record = self._write(record.at(Stage.REMOVING, time(), removal=dict(note)))
        if record.stage is Stage.REMOVING:
            self._end(record, grace)
            if there := self._records.get(record.session):
                self._records.keep(there.at(Stage.REMOVED, time()))

    def _take_back(self, session: str) -> None:
        """A removal that somebody waited for was refused: it is not to be carried out another day."""
        record = self._records.get(session)
        if record is None or record.stage is not Stage.REMOVING or not record.removal:
            return
        stage = Stage.ENDED if record.exit else Stage.RUNNING
        self._records.keep(record.at(stage, time(), removal=None))
        self._looks.spawn(self._look, session)  # the engine may have done some of it, or all

    def _end(self, record: Record, grace: float) -> None:
        """End a session and remove its container."""
        if grace > 0 and record.exit is None:
            try:
                self._containers.stop(record.target, grace)
                self._survey.look(record.session)
            except Refusal as refusal:
                log.warning("session %s is removed without grace: %s", record.session, refusal)
        self._remove(record)
        self._survey.ends.settle(record.session, Exit(None, REMOVED, time()))

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
        try:
            self._survey.catch_up(lambda found: self._looks.spawn(self.on_found, found))  # events go on meanwhile
            self._looks.spawn(self._look_at_all)
        finally:
            self._undone.wake()

    def _on_event(self, event: events.Event) -> None:
        if event.action == events.OOM:
            self._survey.short_of_memory(event.session)
            return
        if event.action != events.DIE:
            self._undone.wake(event.session)  # it has come late, or is gone at last
        if event.action == events.START:
            self._looks.spawn(self._look_again, event.session)
        elif event.action != events.CREATE:
            self._looks.spawn(self._look, event.session, event.exit_code)

    def _look(self, session: str, exit_code: int | None = None) -> None:
        self._busy.wait(session)
        try:
            self._survey.look(session, exit_code)
        except (EngineUnavailable, Refusal) as error:
            log.info("how session %s ended will be known later: %s", session, error)

    def _look_at_all(self) -> None:
        """The engine's list does not show which containers were started again meanwhile."""
        for record in self._records:
            if record.stage is Stage.RUNNING:
                self._look(record.session)

    def _look_again(self, session: str) -> None:
        """Its container was started: by us, or after it had ended. A look at that end may still be under way."""
        self._busy.wait(session)
        try:
            self._survey.end_again(session)
        except (EngineUnavailable, Refusal) as error:
            log.info("session %s was started again by somebody else, and cannot be stopped yet: %s", session, error)
