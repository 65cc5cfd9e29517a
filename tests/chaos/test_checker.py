"""The verdict finds what is wrong: histories made up, one broken promise each."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos import checker
from tests.chaos.history_examples import CLOUD, EMPTY, OTHER, SESSION, TWIN, History, alive, asked, heard, kinds
from tests.chaos.requests import Script


def test_all_is_well() -> None:
    record = History().record()
    assert kinds(checker.of_answers(record)) == set()
    assert kinds(checker.of_machine(record, alive())) == set()
    removed = History().add(asked("remove", 2.0), heard(3.0, status=True)).record()
    assert kinds(checker.of_machine(removed, EMPTY)) == set()


def test_a_request_that_nobody_answered() -> None:
    history = History()
    history.answers.clear()
    assert kinds(checker.of_answers(history.record())) == {"lost"}


def test_two_answers() -> None:
    history = History()
    history.create.published.append(3.0)
    history.answers["create", "create1"].append(heard(4.0, id=TWIN, cloud=OTHER))
    assert kinds(checker.of_answers(history.record())) == {"contradiction"}
    record = history.record(losses=[(2.0, 2.5)])
    assert kinds(checker.of_answers(record)) == set()
    assert sum(record.notes.values()) == 1, "a twin after a loss is counted"
    assert kinds(checker.of_answers(history.record(losses=[(8.0, 9.0)]))) == {"contradiction"}


def test_an_orphan_is_one_even_where_redis_lost_its_data() -> None:
    machine = alive(TWIN, "create1")
    record = History().record(losses=[(0.0, 9.0)])
    assert "orphan" in kinds(checker.of_machine(record, machine))
    committed = replace(machine, committed={"create1": json.dumps({"id": TWIN})})
    assert "orphan" not in kinds(checker.of_machine(record, committed))


def test_a_told_session_that_does_not_live() -> None:
    assert kinds(checker.of_machine(History().record(), EMPTY)) == {"not one process"}


@pytest.mark.parametrize(
    "answer", [{"status": True}, {"status": False, "cloud": OTHER, "error": {"code": "owner_away"}}]
)
def test_what_is_left_of_a_removed_session(answer: dict[str, Any]) -> None:
    history = History().add(asked("remove", 2.0), heard(3.0, **answer))
    bare = replace(alive(), records={}, listed=frozenset(), owned={})
    assert kinds(checker.of_machine(history.record(), replace(bare, processes={}))) == {"left behind"}
    assert "left behind" in kinds(checker.of_machine(history.record(), replace(bare, paths={})))
    keys_only = replace(EMPTY, records={SESSION: {"state": "running"}})
    assert kinds(checker.of_machine(history.record(), keys_only)) == {"wrongly listed"}


def test_the_list_is_what_runs() -> None:
    record = History().record()
    assert kinds(checker.of_machine(record, replace(alive(), listed=frozenset()))) == {"not listed"}
    assert kinds(checker.of_machine(record, replace(alive(), owned={CLOUD: frozenset({SESSION, TWIN})}))) == {
        "wrongly listed"
    }
    wrong = replace(alive(), records={SESSION: {"state": "lost"}})
    assert kinds(checker.of_machine(record, wrong)) == {"wrong record"}
    assert kinds(checker.of_machine(record, replace(alive(), claims=("create:x",)))) == {"unfinished"}


def test_a_remove_that_found_nothing() -> None:
    history = History().add(asked("remove", 2.0), heard(3.0, status=False, cloud=OTHER))
    assert kinds(checker.of_answers(history.record())) == {"denied"}
    assert kinds(checker.of_answers(history.record(losses=[(1.8, 2.2)]))) == set()


def test_an_owner_that_finds_nothing_to_remove_after_it_and_redis_lost_what_they_knew() -> None:
    lost: dict[str, Any] = {"losses": [(2.5, 2.8)], "launches": {CLOUD: [3.0], OTHER: [3.0]}}
    history = History().add(asked("remove", 2.0, 3.0), heard(3.5, status=False))
    assert kinds(checker.of_answers(history.record())) == {"denied"}
    record = history.record(**lost)
    assert kinds(checker.of_answers(record)) == set(), "the first answer went with the data"
    assert kinds(checker.of_machine(record, EMPTY)) == set()
    assert kinds(checker.of_machine(record, alive())) == {"denied"}, "its processes live: an owner sees them"
    kept = replace(EMPTY, paths=alive().paths)
    assert "denied" in kinds(checker.of_machine(record, kept)), "its directory is there"
    history.requests[-1].published[:] = [2.0]
    assert kinds(checker.of_answers(history.record(**lost))) == {"denied"}, "asked once: there was no first answer"
    history.requests[-1].copies = 2
    assert kinds(checker.of_answers(history.record(**lost))) == set()
    history.requests[-1].published[:] = [3.2, 3.3]
    assert kinds(checker.of_answers(history.record(**lost))) == {"denied"}, "asked after the loss only"


@pytest.mark.parametrize("launches", [{}, {CLOUD: [0.5]}, {CLOUD: [3.6]}, {OTHER: [3.0]}])
def test_an_owner_that_lives_on_remembers_what_it_answered(launches: dict[str, list[float]]) -> None:
    history = History().add(asked("remove", 2.0, 3.0), heard(3.5, status=False))
    assert kinds(checker.of_answers(history.record(losses=[(2.5, 2.8)], launches=launches))) == {"denied"}


def test_another_cloud_may_not_know_of_a_session_that_lives() -> None:
    history = History().add(asked("remove", 2.0, 3.0), heard(3.5, status=False, cloud=OTHER))
    record = history.record(losses=[(2.5, 2.8)])
    assert kinds(checker.of_answers(record)) == kinds(checker.of_machine(record, alive())) == set()


@pytest.mark.parametrize("op", ["remove", "status"])
def test_another_cloud_knows_once_the_owner_was_back(op: str) -> None:
    wrong = {"denied"} if op == "remove" else {"wrong status"}
    history = History().add(asked(op, 4.5), heard(9.5, status=False, cloud=OTHER))
    for at in (4.0, 5.5):
        history.requests.append(replace(asked("status", at), id=f"at {at}"))
        history.answers["status", f"at {at}"] = [heard(at, status=True)]
    assert kinds(checker.of_answers(history.record(losses=[(2.5, 2.8)]))) == wrong
    assert kinds(checker.of_answers(history.record(losses=[(6.0, 6.5)]))) == set(), "lost again since"
    history.answers[op, f"{op}1"].insert(0, replace(history.answers[op, f"{op}1"][0], at=5.0))
    assert kinds(checker.of_answers(history.record(losses=[(2.5, 2.8)]))) == set(), "it was given before, and repeated"
    del history.answers[op, f"{op}1"][0], history.requests[-1]
    assert kinds(checker.of_answers(history.record(losses=[(2.5, 2.8)]))) == set(), "it may have died over it"


@pytest.mark.parametrize("once", [False, True])
def test_a_wish_is_kept(once: bool) -> None:
    away = heard(3.0, status=False, cloud=OTHER, error={"code": "owner_away"})
    history = History().add(asked("remove", 2.0, once=once), away)
    assert kinds(checker.of_answers(history.record())) == set()
    assert "left behind" in kinds(checker.of_machine(history.record(), alive()))


def test_an_owner_is_not_away_when_it_answers() -> None:
    history = History().add(asked("remove", 2.0), heard(3.0, status=False, error={"code": "owner_away"}))
    assert kinds(checker.of_answers(history.record())) == {"denied"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [("no_match", {"refused"}), ("no_capacity", {"refused"}), ("id_conflict", {"refused"}), ("abandoned", set())],
)
def test_a_create_that_was_refused_for_no_reason(code: str, expected: set[str]) -> None:
    history = History()
    history.answers["create", "create1"] = [heard(1.5, id=None, error={"code": code})]
    assert kinds(checker.of_answers(history.record())) == expected


def test_two_voices_are_explained_only_by_a_loss_between_them() -> None:
    voices = [heard(2.5, status=False), heard(3.5, status=False, cloud=OTHER)]
    history = History().add(asked("status", 2.0), *voices)
    history.told[SESSION].removal = asked("remove", 1.9)
    assert kinds(checker.of_answers(history.record())) == {"contradicting answers"}
    assert kinds(checker.of_answers(history.record(losses=[(4.0, 5.0)]))) == {"contradicting answers"}
    assert kinds(checker.of_answers(history.record(losses=[(2.6, 3.0)]))) == set()


def test_where_nobody_repeats_there_is_one_answer() -> None:
    answer = heard(2.5, status=True, stale=True, cloud=OTHER)
    history = History().add(asked("status", 2.0, once=True), answer)
    assert kinds(checker.of_answers(history.record())) == set()
    history.answers["status", "status1"].append(answer)
    assert kinds(checker.of_answers(history.record())) == {"contradicting answers"}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([{"status": True, "state": "running"}], set()),
        ([{"status": False}], {"wrong status"}),
        ([{"status": False, "state": "lost"}], {"wrong status"}),
        ([{"status": True, "state": "running"}, {"status": True, "port": 1}], {"contradicting answers"}),
        ([{"status": True, "stale": True}, {"status": True, "port": 1}], set()),
    ],
)
def test_statuses_of_a_session_that_lives(answers: list[dict[str, Any]], expected: set[str]) -> None:
    history = History().add(asked("status", 2.0), *(heard(2.5, **answer) for answer in answers))
    assert kinds(checker.of_answers(history.record())) == expected


def test_a_status_after_the_removal() -> None:
    history = History().add(asked("remove", 2.0), heard(3.0, status=True))
    history.add(asked("status", 4.0), heard(4.1, status=True, state="running"))
    assert kinds(checker.of_answers(history.record())) == {"wrong status"}
    history.requests[-1].published[0] = 2.9
    assert kinds(checker.of_answers(history.record())) == set(), "asked before we knew"


def test_how_it_ended() -> None:
    ended = {"status": False, "state": "exited"}
    good = History(Script.EXITS).add(asked("status", 2.0), heard(2.5, exit_code=3, **ended))
    unknown = History(Script.EXITS).add(asked("status", 2.0), heard(2.5, exit_code=None, **ended))
    assert kinds(checker.of_answers(good.record())) == set()
    assert kinds(checker.of_answers(unknown.record())) == {"wrong status"}
    assert kinds(checker.of_answers(unknown.record(blind=frozenset({CLOUD})))) == set()


def test_the_audit_wants_a_fresh_answer_that_the_machine_confirms() -> None:
    history = History().add(asked("status", 9.0, audit=True), heard(9.5, status=True))
    assert kinds(checker.of_audit(history.record(), alive())) == set()
    assert kinds(checker.of_audit(history.record(), EMPTY)) == {"wrong status"}
    history.answers["status", "status1"] = [heard(9.5, status=True, stale=True)]
    assert kinds(checker.of_audit(history.record(), alive())) == {"wrong status"}
    history.answers["status", "status1"] = [heard(9.5, status=True, cloud=OTHER)]
    assert kinds(checker.of_audit(history.record(), alive())) == {"wrong responder"}
