"""The life of a session: only what the table allows, in any order of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.protocol.keys import owner_of
from pycloud.protocol.session import ENDED, LIVE, TRANSITIONS, IllegalTransition, Session, State, new_id, new_session_id


def fresh() -> Session:
    """A session that is starting."""
    return Session(id="a" * 10 + "b" * 10, request="r", digest="d", token="t", host="h", created=1.0)


@given(st.lists(st.sampled_from(State), max_size=12))
def test_a_session_moves_along_the_table_and_nowhere_else(wanted: list[State]) -> None:
    session = fresh()
    for state in wanted:
        before = session.state
        if state in TRANSITIONS[before]:
            session.transition(state)
            assert session.state is state
        else:
            with pytest.raises(IllegalTransition):
                session.transition(state)
            assert session.state is before


def test_each_state_is_alive_ended_or_lost() -> None:
    assert LIVE | ENDED | {State.LOST} == set(State)
    assert not LIVE & ENDED
    assert set(TRANSITIONS) == set(State)


def test_nothing_comes_back_from_removed_and_nothing_ended_lives_again() -> None:
    assert TRANSITIONS[State.REMOVED] == frozenset()
    assert not any(TRANSITIONS[state] & LIVE for state in ENDED)


def test_a_session_runs_and_exits() -> None:
    session = fresh()
    assert session.alive
    session.mark_running(40000, 2.0)
    assert (session.state, session.port, session.started) == (State.RUNNING, 40000, 2.0)
    session.mark_exited(143, "killed by signal 15 (SIGTERM)", 3.0)
    assert (session.state, session.exit_code, session.ended, session.alive) == (State.EXITED, 143, 3.0, False)


def test_the_id_of_a_session_says_whose_it_is() -> None:
    cloud = new_id()
    session = new_session_id(cloud)
    assert owner_of(session) == cloud
    assert new_session_id(cloud) != session
    with pytest.raises(ValueError, match="a node id has 10"):
        new_session_id("short")


@given(st.text())
def test_what_is_no_session_id_has_no_owner(text: str) -> None:
    owner = owner_of(text)
    assert owner is None or (len(text) == 20 and text.endswith(owner))


def test_upper_case_and_odd_lengths_are_no_session_ids() -> None:
    assert owner_of("A" * 20) is None
    assert owner_of("a" * 19) is None
