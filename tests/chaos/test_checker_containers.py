"""The verdict on containers: the same promises as for processes, broken one at a time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.chaos import checker
from tests.chaos.history_examples import CLOUD, EMPTY, SESSION, TWIN, History, alive, asked, heard, kinds
from tests.chaos.machine import Container, Machine
from tests.chaos.requests import Script


def boxed(state: str = "running", session: str = SESSION) -> Machine:
    """The machine on which all is well with one session that is a container."""
    container = Container(session, session[10:], "create1", f"pycloud_{session}", state)
    machine = replace(alive(session), containers={session: [container]})
    return machine if state == "running" else replace(machine, processes={})


def test_a_container_is_judged_as_a_process_is() -> None:
    record = History(Script.BOX_SLEEPS).record()
    assert kinds(checker.of_machine(record, boxed())) == set()
    twice = replace(boxed(), containers={SESSION: boxed().containers[SESSION] * 2})
    assert kinds(checker.of_machine(record, twice)) == {"not one container"}
    assert kinds(checker.of_machine(record, alive())) == {"not one container"}
    assert "not one container" in kinds(checker.of_machine(record, boxed("exited")))
    assert kinds(checker.of_machine(History().record(), boxed())) == {"not no container"}


def test_a_container_that_nobody_was_told_of() -> None:
    record = History(Script.BOX_SLEEPS).record()
    unseen = replace(boxed(session=TWIN), processes={})
    for machine, kind in ((unseen, "orphan"), (boxed("created", TWIN), "left behind")):
        both = replace(machine, containers={**boxed().containers, **machine.containers})
        assert kind in kinds(checker.of_machine(record, both))
    answered = replace(unseen, committed={"create1": json.dumps({"id": TWIN})})
    assert "orphan" not in kinds(checker.of_machine(record, answered))


@pytest.mark.parametrize("state", ["created", "running", "exited", "dead"])
def test_what_is_left_of_a_container_that_was_removed(state: str) -> None:
    record = History(Script.BOX_SLEEPS).add(asked("remove", 2.0), heard(3.0, status=True)).record()
    machine = replace(EMPTY, containers=boxed(state).containers)
    assert "left behind" in kinds(checker.of_machine(record, machine))


def test_how_a_container_ended() -> None:
    def machine(state: str, code: str | None = "3") -> Machine:
        fields = {"state": "exited", **({"exit_code": code} if code else {})}
        return replace(boxed(state), records={SESSION: fields})

    record = History(Script.BOX_EXITS).record(blind=frozenset({CLOUD}))
    assert kinds(checker.of_machine(record, machine("exited"))) == set()
    assert kinds(checker.of_machine(record, machine("exited", None))) == {"wrong record"}, "an engine knows the code"
    assert "not ended" in kinds(checker.of_machine(record, machine("running")))
    gone = replace(machine("exited"), containers={})
    assert kinds(checker.of_machine(record, gone)) == {"not one container"}, "it is remembered, and so is its output"
