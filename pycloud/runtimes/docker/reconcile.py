"""Compares the records with the engine's containers and plans the actions that reconcile them. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pycloud.runtimes.docker.engine.listing import ListedContainer
from pycloud.runtimes.docker.records import ContainerRecord, Stage
from pycloud.runtimes.docker.spec.container import RECORD_LABEL

#: States in which a container has never run.
NOT_STARTED_STATES = ("created",)
#: States in which the container's first process may be running, and those in which a process is or will be running.
ALIVE_STATES = ("running", "paused")
UP_STATES = (*ALIVE_STATES, "restarting")

#: Stages in which a session may end.
LIVE_STAGES = (Stage.RUNNING, Stage.REMOVING)

#: Fields that every record must have, in order to be read.
TEXT_FIELDS, TIME_FIELD = ("request", "digest", "token", "host"), "created"


@dataclass
class ReconcilePlan:
    """Sessions, with their records or containers where needed, by the action to take."""

    missing: list[str] = field(default_factory=list)  # on record as running, but without a container
    ended: list[str] = field(default_factory=list)  # on record as running, but their container does not run
    restarted: list[str] = field(default_factory=list)  # on record as ended, but another client restarted them
    unfinished_starts: list[ListedContainer] = field(
        default_factory=list
    )  # their start is not complete on record, but their container runs or ran
    to_adopt: list[ListedContainer] = field(default_factory=list)  # without a record
    to_remove: list[ContainerRecord] = field(default_factory=list)  # their container, even a future one, must go


def make_plan(
    before: Iterable[ContainerRecord],
    after: Iterable[ContainerRecord],
    containers: Mapping[str, ListedContainer],
    busy: Collection[str],
) -> ReconcilePlan:
    """Return the plan. ``before`` and ``after``: the records before and after the engine listed its containers.

    Records that changed between these are skipped. ``busy``: sessions with operations in progress, which are skipped.
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
    """Return the record in a container's label, as that of a session whose create was answered; None: it is invalid."""
    try:
        record = json.loads(labels[RECORD_LABEL])
    except (KeyError, ValueError, RecursionError):
        return None
    return {**record, "answered": True} if isinstance(record, dict) and _is_complete(record) else None


def _is_complete(record: Mapping[str, Any]) -> bool:
    created = record.get(TIME_FIELD)
    in_time = isinstance(created, int | float) and not isinstance(created, bool) and math.isfinite(created)
    return in_time and all(isinstance(record.get(name), str) for name in TEXT_FIELDS)
