"""What is to be done where the records say one thing and the engine another. Pure: decides, touches nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pycloud.runtimes.docker.engine.listing import ListedContainer
from pycloud.runtimes.docker.records import ContainerRecord, Stage
from pycloud.runtimes.docker.spec.container import RECORD_LABEL

#: States in which a container has not begun to run.
NOT_STARTED_STATES = ("created",)
#: States in which its first process may live, and those in which that one or another does, or will.
ALIVE_STATES = ("running", "paused")
UP_STATES = (*ALIVE_STATES, "restarting")

#: Stages in which a session may end.
LIVE_STAGES = (Stage.RUNNING, Stage.REMOVING)

#: What is read of every record.
TEXT_FIELDS, TIME_FIELD = ("request", "digest", "token", "host"), "created"


@dataclass
class ReconcilePlan:
    """Sessions, with what there is of them, by what is to be done."""

    missing: list[str] = field(default_factory=list)  # said to run, but there is no container
    ended: list[str] = field(default_factory=list)  # said to run, but their container does not
    restarted: list[str] = field(default_factory=list)  # they have ended, but somebody has started them again
    unfinished_starts: list[ListedContainer] = field(
        default_factory=list
    )  # their start was never finished, but they run
    to_adopt: list[ListedContainer] = field(default_factory=list)  # nobody knows them
    to_remove: list[ContainerRecord] = field(default_factory=list)  # whatever there is of them, or comes yet, has to go


def make_plan(
    before: Iterable[ContainerRecord],
    after: Iterable[ContainerRecord],
    containers: Mapping[str, ListedContainer],
    busy: Collection[str],
) -> ReconcilePlan:
    """What is to be done. ``before`` and ``after``: the records as they were when the engine was asked and answered.

    What changed meanwhile is not judged. ``busy``: sessions that somebody is at just now.
    """
    result = ReconcilePlan()
    stages = {record.session: record.stage for record in before}
    seen = {*stages, *busy}
    for record in after:
        seen.add(record.session)
        if record.session in busy or stages.get(record.session) is not record.stage:
            continue
        container = containers.get(record.session)
        its_own = container is not None and record.container in (None, container.id)
        _classify(record, container if its_own else None, result)
    for session, container in containers.items():
        if session in seen or not container.named:
            continue
        if container.state in NOT_STARTED_STATES:
            result.to_remove.append(ContainerRecord(session, Stage.CLEANUP, 0.0, container=container.id))
        else:
            result.to_adopt.append(container)
    return result


def _classify(record: ContainerRecord, container: ListedContainer | None, result: ReconcilePlan) -> None:
    if record.stage is Stage.STARTING:
        if container is None or container.state in NOT_STARTED_STATES:
            result.to_remove.append(record)
        else:
            result.unfinished_starts.append(container)
    elif record.stage in LIVE_STAGES and record.exit is None and container is None:
        result.missing.append(record.session)
    elif (
        record.stage in LIVE_STAGES
        and record.exit is None
        and container is not None
        and container.state not in ALIVE_STATES
    ):
        result.ended.append(record.session)
    elif record.stage is Stage.ENDED and container is not None and container.state in UP_STATES:
        result.restarted.append(record.session)


def record_of(labels: Mapping[str, str]) -> dict[str, Any] | None:
    """The record in a container's label, as that of a session that was answered for; None: it makes no sense."""
    try:
        record = json.loads(labels[RECORD_LABEL])
    except (KeyError, ValueError, RecursionError):
        return None
    return {**record, "answered": True} if isinstance(record, dict) and _is_complete(record) else None


def _is_complete(record: Mapping[str, Any]) -> bool:
    created = record.get(TIME_FIELD)
    in_time = isinstance(created, int | float) and not isinstance(created, bool) and math.isfinite(created)
    return in_time and all(isinstance(record.get(name), str) for name in TEXT_FIELDS)
