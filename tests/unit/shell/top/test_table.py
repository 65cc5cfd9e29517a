"""Order, filter and selection of the sessions that ``top`` lists."""

from __future__ import annotations

import pytest

from pycloud.shell.top.table import Selection, Table, TableQuery, build_table
from tests.support.top_state import RECORDS, record


def numbers(table: Table) -> list[int]:
    return [int(row.id[:10], 16) for row in table.rows]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (TableQuery(), [1, 2, 3, 4]),
        (TableQuery(reverse=True), [4, 3, 2, 1]),
        (TableQuery("state"), [4, 1, 2, 3]),
        (TableQuery("host"), [2, 4, 1, 3]),
        (TableQuery(filter_text="arena"), [2, 4]),
        (TableQuery(filter_text="RUN aren"), [2]),
        (TableQuery(filter_text="0000000003"), [3]),
        (TableQuery(filter_text="lobby"), [3]),
        (TableQuery(filter_text="zone=eu"), [4]),
        (TableQuery("name"), [3, 1, 2, 4]),
        (TableQuery(filter_text="nothing of the kind"), []),
    ],
)
def test_order_and_filter(query: TableQuery, expected: list[int]) -> None:
    table = build_table(RECORDS, query)
    assert numbers(table) == expected
    assert table.total == 4
    assert [table.rows[table.index_by_session[row.id]] for row in table.rows] == list(table.rows)


def test_the_selection_stays_with_its_session() -> None:
    table = build_table(RECORDS, TableQuery())
    selection = Selection().adjusted(table, 2).moved(table, 2).adjusted(table, 2)
    assert (selection.session, selection.row, selection.first_visible) == (record(3).id, 2, 1)
    turned = selection.adjusted(build_table(RECORDS, TableQuery(reverse=True)), 2)
    assert (turned.session, turned.row) == (record(3).id, 1)
    gone = selection.adjusted(build_table([each for each in RECORDS if each.id != record(3).id], TableQuery()), 2)
    assert (gone.session, gone.row) == (record(4).id, 2)
    assert selection.adjusted(build_table([], TableQuery()), 2) == Selection()


def test_the_selection_is_always_on_the_screen() -> None:
    table = build_table([record(number) for number in range(100)], TableQuery())
    selection = Selection().adjusted(table, 10)
    for by in (5, 30, -3, 1000, -20, -1000, 7):
        selection = selection.moved(table, by).adjusted(table, 10)
        assert selection.first_visible <= selection.row < selection.first_visible + 10
        assert 0 <= selection.row < 100
    assert selection.adjusted(table, 3).row == selection.row
