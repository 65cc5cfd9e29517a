"""How sessions are, looked up at the engine and written into their records; and those who wait for their ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from time import time

from gevent.event import AsyncResult
from gevent.pool import Pool

from pycloud.runtimes.base import Exit, Found
from pycloud.runtimes.docker.cleanup import Undone
from pycloud.runtimes.docker.engine.containers import Containers, Inspected
from pycloud.runtimes.docker.engine.listing import Listed
from pycloud.runtimes.docker.reconcile import plan, record_of
from pycloud.runtimes.docker.records import Record, Records, Stage
from pycloud.runtimes.docker.session_locks import Busy
from pycloud.runtimes.docker.spec.container import exit_of, started_of

log = logging.getLogger(__name__)

GONE, REMOVED = "its container was removed by somebody else", "it was removed"
AGAIN = "its container was started again by somebody else"
#: The engine's word for a container that is being removed.
GOING = "removing"
OUT_OF_MEMORY, KILLED = "out of memory", 137
#: Seconds that a session gets to end which somebody has started again.
GRACE = 10.0
#: Containers that are looked at side by side.
SIDE_BY_SIDE = 8


class Ends:
    """How sessions ended, for those who wait for it."""

    def __init__(self) -> None:
        self._ends: dict[str, AsyncResult] = {}

    def wait(self, session: str) -> Exit:
        """How it ended, once it has."""
        exit_: Exit = self._ends.setdefault(session, AsyncResult()).get()
        return exit_

    def settle(self, session: str, exit_: Exit) -> None:
        """It has ended. The first to say so is believed."""
        end = self._ends.setdefault(session, AsyncResult())
        if not end.ready():
            end.set(exit_)

    def forget(self, session: str) -> None:
        """Nobody waits any more."""
        self._ends.pop(session, None)


class Survey:
    """``busy``: the sessions that somebody is at, of which nothing is judged.

    ``alone``: no other daemon may be at work on the same sessions. Until that is known, nothing is ended or removed.
    """

    def __init__(
        self,
        cloud: str,
        containers: Containers,
        records: Records,
        undone: Undone,
        busy: Busy,
        now: Callable[[], float] = time,
    ) -> None:
        self._cloud, self._containers, self._records, self._undone = cloud, containers, records, undone
        self._busy, self._now = busy, now
        self.alone = False
        self._short_of_memory: set[str] = set()
        self.ends = Ends()

    def catch_up(self, report: Callable[[list[Found]], None]) -> None:
        """List all containers, and do what the list calls for. ``report`` is told of sessions that nobody knew of.

        Raises Refusal, EngineUnavailable; what was done until then is done.
        """
        before = list(self._records)
        containers = self._containers.list(self._cloud)
        todo = plan(before, self._records, containers, self._busy)
        for record in todo.undo if self.alone else ():
            self._undone.add(record)
        for session in todo.gone:
            self._settle(session, self._vanished(session))
        Pool(SIDE_BY_SIDE).map(self.look, todo.ended)
        self._take_all((*todo.settle, *todo.adopt), report)
        Pool(SIDE_BY_SIDE).map(self.end_again, todo.again)

    def look(self, session: str, exit_code: int | None = None) -> None:
        """See whether a session has ended; ``exit_code`` is what the engine has said of it. Raises as above."""
        record = self._records.get(session)
        if record is None or record.exit is not None or record.stage not in (Stage.RUNNING, Stage.REMOVING):
            return
        with self._busy.at(session):
            inspected = self._containers.inspect(record.target)
        if inspected is None:
            self._settle(session, self._vanished(session, exit_code))
        elif exit_ := exit_of(inspected):
            self._settle(session, self._with_reason(record, exit_, inspected))
        elif _restarted(record, inspected):
            code = inspected["State"].get("ExitCode") if exit_code is None and _restarting(inspected) else exit_code
            self._settle(session, Exit(code, AGAIN if code is None else None, self._now()))
            self.end_again(session)

    def end_again(self, session: str) -> None:
        """Stop a session that has ended if somebody has started its container again: it ends once. Raises as above."""
        record = self._records.get(session)
        if not self.alone or record is None or record.stage is not Stage.ENDED:
            return
        with self._busy.at(session):
            inspected = self._containers.inspect(record.target)
            if inspected is None or started_of(inspected) is None or exit_of(inspected):
                return
            log.warning("session %s has ended, and somebody has started its container again: it is stopped", session)
            self._containers.stop(record.target, GRACE)

    def forget(self, session: str) -> None:
        """Nobody wants to know any more."""
        self.ends.forget(session)
        self._short_of_memory.discard(session)

    def short_of_memory(self, session: str) -> None:
        """The kernel has killed a process of a session."""
        self._short_of_memory.add(session)

    def _take_all(self, containers: Iterable[Listed], report: Callable[[list[Found]], None]) -> None:
        found: list[Found] = []
        try:
            for container in containers:
                if taken := self._take(container):
                    found.append(taken)
        finally:
            if found:  # they are on record now: nobody would find them another time
                report(found)

    def _take(self, container: Listed) -> Found | None:
        """Take charge of a container that runs, or ran, though its start was never recorded; None: it is not to be."""
        record = self._records.get(container.session)
        if record is None:
            content = record_of(container.labels)
            if content is None:
                log.warning("the label of container %s makes no sense: it is left alone", container.id)
                return None
            log.info("session %s has a container and no record: adopted", container.session)
            record = Record(container.session, Stage.STARTING, self._now(), content)
        inspected = self._containers.inspect(container.id)
        started = started_of(inspected) if inspected else None
        if inspected is None or started is None:
            return None
        exit_ = exit_of(inspected)
        changes = {"container": container.id, "started": started, "exit": exit_}
        stage = Stage.ENDED if exit_ else Stage.RUNNING
        record = self._records.keep(record.at(stage, self._now(), **changes))
        if exit_:
            self.ends.settle(record.session, exit_)
        return record.found

    def _vanished(self, session: str, exit_code: int | None = None) -> Exit:
        """The end of a session that has no container any more."""
        record = self._records.get(session)
        removing = record is not None and record.stage is Stage.REMOVING
        return Exit(exit_code, REMOVED if removing else GONE, self._now())

    def _with_reason(self, record: Record, exit_: Exit, inspected: Inspected) -> Exit:
        """With the reason that the engine knows, but does not say there."""
        if record.stage is Stage.RUNNING and inspected["State"].get("Status") == GOING:
            return replace(exit_, reason=GONE)
        if exit_.reason is None and exit_.exit_code == KILLED and record.session in self._short_of_memory:
            return replace(exit_, reason=OUT_OF_MEMORY)
        return exit_

    def _settle(self, session: str, exit_: Exit) -> None:
        record = self._records.get(session)
        if record is None or record.exit is not None:
            return
        record = replace(record, exit=exit_)
        self._records.keep(record.at(Stage.ENDED, self._now()) if record.stage is Stage.RUNNING else record)
        self.ends.settle(session, exit_)


def _restarted(record: Record, inspected: Inspected) -> bool:
    """Whether a session's container has ended unseen, and runs again, or is about to."""
    now = started_of(inspected)
    later = now is not None and record.started is not None and now.started > record.started.started
    return later or _restarting(inspected)


def _restarting(inspected: Inspected) -> bool:
    """Whether it has ended, and the engine is to start it again: somebody has given it a policy that says so."""
    return bool(inspected["State"].get("Restarting"))
