"""What is to be done where the records say one thing and the engine another. Pure: decides, touches nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pycloud.runtimes.docker.engine.listing import Listed
from pycloud.runtimes.docker.records import Record, Stage
from pycloud.runtimes.docker.spec.container import RECORD

#: States in which a container has not begun to run.
UNBEGUN = ("created",)
#: States in which its first process may live, and those in which that one or another does, or will.
ALIVE = ("running", "paused")
UP = (*ALIVE, "restarting")

#: Stages in which a session may end.
UNSURE = (Stage.RUNNING, Stage.REMOVING)

#: What is read of every record.
TEXTS, TIME = ("request", "digest", "token", "host"), "created"


@dataclass
class Plan:
    """Sessions, with what there is of them, by what is to be done."""

    gone: list[str] = field(default_factory=list)  # said to run, but there is no container
    ended: list[str] = field(default_factory=list)  # said to run, but their container does not
    again: list[str] = field(default_factory=list)  # they have ended, but somebody has started them again
    settle: list[Listed] = field(default_factory=list)  # their start was never finished, but they run
    adopt: list[Listed] = field(default_factory=list)  # nobody knows them
    undo: list[Record] = field(default_factory=list)  # whatever there is of them, or comes yet, has to go


def plan(
    before: Iterable[Record], after: Iterable[Record], containers: Mapping[str, Listed], busy: Collection[str]
) -> Plan:
    """What is to be done. ``before`` and ``after``: the records as they were when the engine was asked and answered.

    What changed meanwhile is not judged. ``busy``: sessions that somebody is at just now.
    """
    made = Plan()
    stages = {record.session: record.stage for record in before}
    known = {*stages, *busy}
    for record in after:
        known.add(record.session)
        if record.session in busy or stages.get(record.session) is not record.stage:
            continue
        container = containers.get(record.session)
        its_own = container is not None and record.container in (None, container.id)
        _judge(record, container if its_own else None, made)
    for session, container in containers.items():
        if session in known or not container.named:
            continue
        if container.state in UNBEGUN:
            made.undo.append(Record(session, Stage.UNDONE, 0.0, container=container.id))
        else:
            made.adopt.append(container)
    return made


def _judge(record: Record, container: Listed | None, made: Plan) -> None:
    if record.stage is Stage.STARTING:
        if container is None or container.state in UNBEGUN:
            made.undo.append(record)
        else:
            made.settle.append(container)
    elif record.stage in UNSURE and record.exit is None and container is None:
        made.gone.append(record.session)
    elif record.stage in UNSURE and record.exit is None and container is not None and container.state not in ALIVE:
        made.ended.append(record.session)
    elif record.stage is Stage.ENDED and container is not None and container.state in UP:
        made.again.append(record.session)


def record_of(labels: Mapping[str, str]) -> dict[str, Any] | None:
    """The record in a container's label, as that of a session that was answered for; None: it makes no sense."""
    try:
        record = json.loads(labels[RECORD])
    except (KeyError, ValueError, RecursionError):
        return None
    return {**record, "answered": True} if isinstance(record, dict) and _is_whole(record) else None


def _is_whole(record: Mapping[str, Any]) -> bool:
    created = record.get(TIME)
    in_time = isinstance(created, int | float) and not isinstance(created, bool) and math.isfinite(created)
    return in_time and all(isinstance(record.get(name), str) for name in TEXTS)
