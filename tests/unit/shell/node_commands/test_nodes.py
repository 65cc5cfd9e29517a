"""The table of nodes that ``nodes`` prints."""

from __future__ import annotations

import pytest

from pycloud.client.records import KnownNode
from pycloud.shell.node_commands.nodes import (
    NODE_COLUMNS,
    change_key,
    node_row,
    node_rows,
    node_state,
    table_cells,
)
from pycloud.shell.terminal.output import layout
from tests.support.known_nodes import ONLINE_ID, offline_node, online_node


@pytest.mark.parametrize(
    ("node", "state"),
    [
        (online_node(), "up"),
        (online_node(draining=True), "draining"),
        (online_node(draining=True, deaf=True), "deaf"),
        (online_node(draining=True, copied=True), "copied"),
        (online_node(silent=2.5), "stale"),
        (online_node(silent=2.5, heartbeat=2.0), "up"),
        (offline_node(), "away"),
    ],
)
def test_states(node: KnownNode, state: str) -> None:
    assert node_state(node) == state


def test_the_table_fits_a_narrow_screen() -> None:
    full = online_node(
        host="a-host-with-a-long-name.example.net", runtimes=("script", "docker"), unavailable=("docker",)
    )
    rows = table_cells([node_row(full), node_row(online_node("b" * 10, labels={"region": "eu", "disk": "ssd"}))])
    assert rows[0][5] == "script,(docker)"
    for width in (200, 100, 80, 60):
        lines = list(layout(rows, width, False, NODE_COLUMNS))
        assert max(map(len, lines)) <= width
        assert lines[0].split()[:5] == ["NODE", "STATE", "HOST", "SESSIONS", "LOAD"]
    assert "\x1b[32mup" in "\n".join(layout(rows, 200, True, NODE_COLUMNS))


def test_a_bar_shows_the_load_to_half_a_column() -> None:
    assert table_cells([node_row(online_node(score=25.0))])[0][4] == "█▌···· 25.0"


def test_load_alone_is_no_news() -> None:
    before, after = node_row(online_node()), node_row(online_node(score=99.0, silent=1.0))
    assert change_key(before) == change_key(after) != change_key(node_row(online_node(sessions=4)))


def test_labels_of_one_that_is_away_are_not_known() -> None:
    assert [row.id for row in node_rows([online_node(labels={"a": "1"}), offline_node()], {"a": "1"})] == [ONLINE_ID]
