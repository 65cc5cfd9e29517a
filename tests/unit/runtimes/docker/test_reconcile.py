"""What the container runtime decides without an engine."""

from __future__ import annotations

import json

import pytest

from pycloud.runtimes.docker.engine.listing import ListedContainer, containers_by_session
from pycloud.runtimes.docker.reconcile import ReconcilePlan, make_plan, record_of
from pycloud.runtimes.docker.records import ContainerRecord, Stage

S, T = "1" * 20, "2" * 20
NODE = S[10:]
WHOLE = {"request": "r", "digest": "d", "token": "t", "host": "h", "created": 1.5}


def listing(session: str, state: str, named: bool = True) -> ListedContainer:
    return ListedContainer("id", session, state, {}, named)


def made(stage: Stage, state: str | None, busy: bool = False) -> ReconcilePlan:
    """The plan for one session at ``stage`` whose container is in ``state``."""
    containers = {S: listing(S, state)} if state else {}
    records = [ContainerRecord(S, stage, 1.0)]
    return make_plan(records, records, containers, {S} if busy else ())


@pytest.mark.parametrize(
    ("stage", "state", "what"),
    [
        (Stage.RUNNING, "running", None),
        (Stage.RUNNING, "paused", None),
        (Stage.RUNNING, "exited", "ended"),
        (Stage.RUNNING, "restarting", "ended"),
        (Stage.ENDED, "restarting", "restarted"),
        (Stage.RUNNING, "dead", "ended"),
        (Stage.RUNNING, None, "missing"),
        (Stage.STARTING, None, "to_remove"),
        (Stage.STARTING, "created", "to_remove"),
        (Stage.STARTING, "running", "unfinished_starts"),
        (Stage.STARTING, "exited", "unfinished_starts"),
        (Stage.REMOVING, "exited", "ended"),
        (Stage.REMOVING, None, "missing"),
        (Stage.REMOVED, None, None),
        (Stage.ENDED, None, None),
        (Stage.ENDED, "exited", None),
        (Stage.ENDED, "running", "restarted"),
        (Stage.CLEANUP, "running", None),
    ],
)
def test_one_session(stage: Stage, state: str | None, what: str | None) -> None:
    assert [name for name, sessions in vars(made(stage, state)).items() if sessions] == ([what] if what else [])
    assert made(stage, state, busy=True) == ReconcilePlan()


def test_what_changes_while_the_engine_lists_is_not_judged() -> None:
    starting, running = ContainerRecord(S, Stage.STARTING, 1.0), ContainerRecord(S, Stage.RUNNING, 2.0)
    assert make_plan([starting], [running], {}, ()) == ReconcilePlan()
    assert make_plan([], [running], {}, ()) == ReconcilePlan()
    assert make_plan([running], [], {S: listing(S, "running")}, ()) == ReconcilePlan()  # forgotten meanwhile


def test_containers_that_nobody_knows() -> None:
    found = make_plan([], [], {S: listing(S, "running"), T: listing(T, "created")}, ())
    assert [each.session for each in found.to_adopt] == [S]
    assert [each.session for each in found.to_remove] == [T]
    assert make_plan([], [], {S: listing(S, "running", False), T: listing(T, "created", False)}, ()) == ReconcilePlan()


def test_another_container_with_a_sessions_labels_is_not_its_own() -> None:
    records = [
        ContainerRecord(S, Stage.RUNNING, 1.0, container="id"),
        ContainerRecord(T, Stage.RUNNING, 1.0, container="another"),
    ]
    assert make_plan(records, records, {each: listing(each, "running") for each in (S, T)}, ()) == ReconcilePlan(
        missing=[T]
    )
    own, copy = ({"Id": each, "Names": [f"/{name}"]} for each, name in (("own", f"pycloud_{S}"), ("copy", "x")))
    labels = {"State": "running", "Labels": {"pycloud.cloud": NODE, "pycloud.session": S}}
    for order in ([own, copy], [copy, own]):
        found = containers_by_session([{**each, **labels} for each in order], NODE)
        assert (found[S].id, found[S].named) == ("own", True)
    assert not containers_by_session([{**copy, **labels}], NODE)[S].named


def test_labels_that_make_no_sense() -> None:
    assert record_of({"pycloud.record": json.dumps(WHOLE)}) == {**WHOLE, "answered": True}
    nonsense: tuple[object, ...] = (None, [], {}, True, float("nan"), float("inf"))
    for name in WHOLE:
        for value in nonsense:
            assert record_of({"pycloud.record": json.dumps({**WHOLE, name: value})}) is None
        assert record_of({"pycloud.record": json.dumps({each: WHOLE[each] for each in WHOLE if each != name})}) is None
    for label in ("", "[]", "{", "null"):
        assert record_of({"pycloud.record": label}) is None
    assert record_of({}) is None
