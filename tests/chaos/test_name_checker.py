"""The verdict on names: one living session each, and no create refused for a name that nobody can have had."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos import checker
from tests.chaos.history_examples import EMPTY, SESSION, TWIN, History, alive, asked, heard, kinds
from tests.chaos.machine import Machine
from tests.chaos.requests import Asked, Told

NAME = "web-1"


def named() -> History:
    """SESSION has the name."""
    history = History()
    history.create.name = NAME
    return history


def refused(history: History, *times: float, holder: str = SESSION, at: float = 9.5) -> History:
    """Another create of that name, which is refused."""
    request = Asked("create", "create2", b"", name=NAME, published=list(times))
    return history.add(request, heard(at, id=None, error={"code": "name_taken", "session": holder}))


def well(name: str | None = NAME, holder: str = SESSION, state: str = "live") -> Machine:
    """The machine on which it lives under its name."""
    records = {SESSION: {"state": "running", **({"name": name} if name else {})}}
    return replace(alive(), records=records, names={NAME: (holder, state)})


def test_a_name_that_is_taken() -> None:
    record = refused(named(), 9.0).record()
    assert kinds(checker.of_answers(record)) == set()
    assert kinds(checker.of_machine(record, well())) == set()
    assert record.notes["create answered name_taken"] == 1


def test_a_name_that_was_free() -> None:
    history = refused(named().add(asked("remove", 2.0), heard(3.0, status=True)), 9.0)
    assert kinds(checker.of_answers(history.record())) == {"free"}
    history.requests[-1].published[0] = 2.9
    assert kinds(checker.of_answers(history.record())) == set(), "asked before we knew"
    assert kinds(checker.of_answers(refused(History(), 9.0).record())) == {"free"}, "the other one has no name"


def test_a_name_that_nobody_got() -> None:
    history = refused(named(), 9.0, holder=TWIN)
    history.told.clear()
    history.answers["create", "create1"] = [heard(9.2, id=None, error={"code": "name_taken", "session": TWIN})]
    assert kinds(checker.of_answers(history.record())) == {"free"}
    assert kinds(checker.of_answers(history.record(losses=[(0.0, 1.0)]))) == set(), "begun, and undone at its answer"


@pytest.mark.parametrize(("moment", "expected"), [(16.0, set()), (17.0, {"free"})])
def test_a_name_that_is_kept_for_what_came_to_nothing(moment: float, expected: set[str]) -> None:
    history = refused(named(), moment, holder=TWIN, at=moment + 0.5)
    history.told.clear()
    history.answers["create", "create1"] = [heard(1.5, id=None, error={"code": "abandoned"})]
    assert kinds(checker.of_answers(history.record())) == expected


def test_a_refusal_that_names_another_ones_session() -> None:
    history = refused(named(), 9.0, holder=TWIN)
    assert kinds(checker.of_answers(history.record())) == set(), "one under way is not known yet"
    history.told[TWIN] = Told(TWIN, Asked("create", "create3", b"", name="other"), 1.0)
    assert kinds(checker.of_answers(history.record())) == {"wrong holder"}


def test_what_the_living_are_called() -> None:
    record = named().record()
    assert kinds(checker.of_machine(record, well(None))) == {"wrong name"}
    assert kinds(checker.of_machine(named().record(losses=[(0.0, 1.0)]), well(None))) == set()
    assert kinds(checker.of_machine(record, well("other"))) == {"wrong name", "name not held"}
    assert kinds(checker.of_machine(record, well(state="ended"))) == {"name not held"}
    assert kinds(checker.of_machine(record, well(holder=TWIN))) == {"name not held", "name without a session"}
    removed = named().add(asked("remove", 2.0), heard(3.0, status=True)).record()
    assert kinds(checker.of_machine(removed, replace(EMPTY, names=well().names))) == {"name without a session"}
    assert kinds(checker.of_machine(removed, replace(EMPTY, names=well(state="ended").names))) == set()


def test_two_of_a_name() -> None:
    history, one, other = named(), well(), alive(TWIN)
    history.told[TWIN] = Told(TWIN, replace(history.create, id="create2"), 1.5)
    both = replace(
        one,
        processes={**one.processes, **other.processes},
        paths={**one.paths, **other.paths},
        records={**one.records, TWIN: {"state": "running", "name": NAME}},
        listed=one.listed | other.listed,
        owned={**one.owned, **other.owned},
    )
    assert kinds(checker.of_machine(history.record(), both)) == {"two of a name", "name not held"}


@pytest.mark.parametrize(("says", "expected"), [({"name": NAME}, set()), ({}, {"wrong name"})])
def test_the_audit_hears_the_name(says: dict[str, Any], expected: set[str]) -> None:
    history = named().add(asked("status", 9.0, audit=True), heard(9.5, status=True, **says))
    assert kinds(checker.of_audit(history.record(), well())) == expected
