"""From the beginning of an id, a name or a host to the session or node."""

from __future__ import annotations

import pytest

from pycloud.client.errors import NotFound
from pycloud.shell.base.lookup import match_node, match_prefixes
from pycloud.shell.terminal.exit_codes import UsageError
from tests.support.known_nodes import OFFLINE_ID, ONLINE_ID, offline_node, online_node


def test_a_prefix_matches_what_begins_with_it() -> None:
    sessions = ["aa11", "aa22", "bb33"]

    assert match_prefixes(["aa", "bb", "c", ""], sessions) == {"aa": ["aa11", "aa22"], "bb": ["bb33"], "c": [], "": []}


def test_a_node_is_named_by_id_or_host() -> None:
    nodes = [online_node(), online_node("ca" + "0" * 8, host="host.test.example"), offline_node()]
    assert match_node("ccc", nodes) == ONLINE_ID
    assert match_node("host.test", nodes) == ONLINE_ID, "the whole name counts more than a beginning"
    assert match_node("fa", nodes) == OFFLINE_ID
    with pytest.raises(UsageError, match=r"(?s)c matches 2 nodes.*cccccccccc \(host.test\)"):
        match_node("c", nodes)
    with pytest.raises(NotFound, match=r"no node hots.test, did you mean host.test\?"):
        match_node("hots.test", nodes)
    with pytest.raises(NotFound, match="`nodes` shows all"):
        match_node("", nodes)
