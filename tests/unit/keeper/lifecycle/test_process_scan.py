"""Which processes belong to a session."""

from __future__ import annotations

from pycloud.keeper.lifecycle.process_scan import ProcessSnapshot, members_of
from pycloud.keeper.system.procfs import Process

SESSION = "5e55105e55105e55105e"


def some(pid: int, sid: int, start_time: int, session: str | None = None) -> Process:
    return Process(pid, "S", 1, sid, sid, start_time, session)


def members(found: list[Process], leader: int, seen: int, alive: bool = True) -> set[int]:
    named = [p for p in found if p.session == SESSION]
    same_sid = [p for p in found if p.sid == leader]
    return {p.pid for p in members_of(named, same_sid, seen, lambda process: alive)}


def test_who_carries_the_id_belongs() -> None:
    assert members([some(7, 7, 100, SESSION), some(8, 8, 100, "another")], leader=5, seen=50) == {7}


def test_who_is_older_than_the_last_look_belongs() -> None:
    assert members([some(6, 5, 49), some(7, 5, 50)], leader=5, seen=50) == {6, 7}


def test_a_number_used_again_does_not_make_a_stranger_ours() -> None:
    assert members([some(5, 5, 90), some(6, 5, 91)], leader=5, seen=50) == set()


def test_who_was_there_with_one_of_ours_belongs() -> None:
    assert members([some(6, 5, 49), some(7, 5, 90)], leader=5, seen=50) == {6, 7}
    assert members([some(6, 5, 90, SESSION), some(7, 5, 91)], leader=5, seen=50) == {6, 7}


def test_one_of_ours_that_has_died_proves_nothing() -> None:
    assert members([some(6, 5, 49), some(7, 5, 90)], leader=5, seen=50, alive=False) == {6}


def test_one_of_ours_elsewhere_proves_nothing() -> None:
    assert members([some(6, 6, 49, SESSION), some(7, 5, 90)], leader=5, seen=50) == {6}


def test_a_survey_sorts() -> None:
    snapshot = ProcessSnapshot([some(6, 6, 1, SESSION), some(7, 5, 1), some(8, 8, 1)])
    assert {p.pid for p in snapshot.members(SESSION, 5, 10)} == {6, 7}
    assert snapshot.members("nobody", 99, 10) == []
