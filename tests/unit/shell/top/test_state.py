"""What each key does in ``top``."""

from __future__ import annotations

import pytest

from pycloud.shell.top.table import TableQuery, build_table
from tests.support.top_state import RECORDS, record, state_of


@pytest.mark.parametrize(
    ("keys", "row"),
    [
        (["down", "j"], 2),
        (["down", "up", "k"], 0),
        (["pagedown"], 2),
        ([" ", "c-f"], 3),
        (["G", "pageup"], 1),
        (["end", "home"], 0),
        (["end", "g"], 0),
    ],
)
def test_keys_move_the_selection(keys: list[str], row: int) -> None:
    assert state_of(*keys).selection.row == row


def test_keys_that_change_the_query() -> None:
    assert state_of("s").query == TableQuery("state")
    assert state_of(*"sssss", "r").query == TableQuery(reverse=True)
    assert state_of("/", "a", "q", "c-h", "r", " ", "x", "c-m").query == TableQuery(filter_text="ar x")
    assert state_of("/", "a", "c-m").editing_filter is False
    assert state_of("/", "a", "escape").query == TableQuery()
    assert state_of("/", "a", "b", "c-u").query == TableQuery()
    assert state_of("/", "q").exiting is False


@pytest.mark.parametrize("key", ["q", "escape", "c-c", "c-d"])
def test_keys_that_leave(key: str) -> None:
    assert state_of(key).exiting


def test_removing_needs_an_answer() -> None:
    state = state_of("x")
    assert state.pending_removal == record(1).id
    assert state.press("n") == ""
    assert (state.pending_removal, state.message) == ("", "Nothing was removed.")
    for unsure in ("c-m", "x", "escape", "q"):
        assert state_of("x").press(unsure) == ""
        assert not state_of("x", unsure).exiting
    assert state_of("x").press("y") == record(1).id
    assert state_of("x", records=[]).message == "There is no session to remove."


def test_what_was_asked_about_is_removed_whatever_moves_meanwhile() -> None:
    state = state_of("x")
    state.set_table(build_table(RECORDS, TableQuery(reverse=True)))
    assert state.press("y") == record(1).id
