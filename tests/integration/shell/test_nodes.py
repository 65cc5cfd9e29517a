"""``pycloudctl clouds``, ``drain`` and ``undrain``."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from pycloud.client.errors import NotFound
from pycloud.client.records import KnownNode
from pycloud.protocol.messages import Heartbeat
from pycloud.shell.base.lookup import match_node
from pycloud.shell.node_commands.nodes import (
    NODE_COLUMNS,
    bar,
    change_key,
    node_row,
    node_rows,
    node_state,
    table_cells,
)
from pycloud.shell.terminal.exit_codes import UsageError
from pycloud.shell.terminal.output import layout
from tests.support.pycloudctl import TIMEOUT, Shell
from tests.support.waiting import wait_until

HERE, AWAY = "c" * 10, "d" * 10


def known(cloud: str = HERE, silent: float = 0.5, host: str = "host.test", **more: Any) -> KnownNode:
    """A cloud that lives."""
    usual = {"score": 12.5, "time": 1e9, "sessions": 3, "instance": "i", "version": "2.0.0", "runtime": "script"}
    rank = Heartbeat(**{"id": cloud, "host": host, "heartbeat": 1.0, **usual, **more})
    return KnownNode(cloud, rank, 1e9, silent, 3, host)


def away(cloud: str = AWAY, host: str = "far") -> KnownNode:
    """One that does not."""
    return KnownNode(cloud, None, 1e9, 100.0, 2, host)


@pytest.fixture
def two(shell: Shell) -> Shell:
    """A cloud that lives and has labels, and one that is away and has sessions."""
    shell.cloud.rank = {"labels": {"zone": "eu"}, "capacity": 50, "sessions": 12, "host": "game7", "heartbeat": 60.0}
    shell.cloud.announce()
    shell.cloud.redis.zadd(shell.cloud.names.nodes_key, {AWAY: time.time() - 200})
    session = shell.obedient.add(session="0000000001" + AWAY, host="game8")
    shell.cloud.redis.sadd(shell.cloud.names.node_sessions_key(AWAY), session)
    return shell


def test_a_table_of_all_clouds(two: Shell) -> None:
    table = two.run("clouds")
    assert (table.code, table.err) == (0, "")
    assert table.lines[0].split() == ["CLOUD", "STATE", "HOST", "SESSIONS", "LOAD", *NODE_COLUMNS.headings[5:]]
    assert table.lines[1].split()[:4] == [HERE, "up", "game7", "12/50"]
    assert "zone=eu" in table.lines[1]
    assert table.lines[2].split() == [AWAY, "away", "game8", "1", "-", "3m"]


def test_for_programs(two: Shell) -> None:
    here, gone = map(json.loads, two.run("clouds", "-o", "json").lines)
    seen = {name: here.pop(name) for name in ("seen", "silent")}
    assert here == {
        "id": HERE,
        "state": "up",
        "host": "game7",
        "sessions": 12,
        "capacity": 50,
        "score": 0.5,
        "runtimes": ["script"],
        "unavailable": [],
        "labels": {"zone": "eu"},
        "draining": False,
        "version": "2.0.0",
    }
    assert abs(seen["seen"] - time.time()) < 100
    assert (gone["id"], gone["state"], gone["sessions"], "score" in gone) == (AWAY, "away", 1, False)
    assert two.run("clouds", "-o", "ids").lines == [HERE, AWAY]
    assert two.run("clouds", "-o", "ids", "--label", "zone=eu").lines == [HERE]
    assert two.run("clouds", "-o", "ids", "--label", "zone=eu", "--label", "disk=ssd").lines == []


def test_followed_by_a_program(two: Shell) -> None:
    with two.start("clouds", "-f") as process:
        assert process.stdout is not None
        first = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [(row["id"], row["state"]) for row in first] == [(HERE, "up"), (AWAY, "away")]
        two.cloud.rank["draining"] = True
        two.cloud.announce()
        assert json.loads(process.stdout.readline())["state"] == "draining"
        two.cloud.redis.zrem(two.cloud.names.nodes_key, AWAY)
        assert json.loads(process.stdout.readline()) == {"id": AWAY, "state": ""}
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (130, b"pycloudctl: Interrupted.\n")


def test_a_cloud_is_named_alike_everywhere(two: Shell) -> None:
    here, there = two.obedient.add(), "0000000001" + AWAY
    for word, sessions in (("game7", [here]), ("ccc", [here]), ("game8", [there]), (AWAY, [there])):
        assert two.run("list", "--cloud", word, "-o", "ids").lines == sessions
    two.run("create", "-", "--cloud", "game7", stdin=b"sleep 60")
    assert two.cloud.heard[-1].fields["cloud"] == HERE
    for words in (("list", "-f"), ("list",), ("remove", "--all", "-y"), ("create", "-")):
        refused = two.run(*words, "--cloud", "gane7")
        assert (refused.code, refused.out) == (3, b"")
        assert "there is no cloud gane7, did you mean game7?" in refused.err
    assert two.run("remove", "--cloud", "game7", "--cloud", "ccc", "-y").code == 0
    assert list(two.obedient.sessions) == [there]


@pytest.mark.parametrize(
    ("cloud", "state"),
    [
        (known(), "up"),
        (known(draining=True), "draining"),
        (known(draining=True, deaf=True), "deaf"),
        (known(draining=True, copied=True), "copied"),
        (known(silent=2.5), "stale"),
        (known(silent=2.5, heartbeat=2.0), "up"),
        (away(), "away"),
    ],
)
def test_states(cloud: KnownNode, state: str) -> None:
    assert node_state(cloud) == state


def test_the_table_fits_a_narrow_screen() -> None:
    full = known(host="a-host-with-a-long-name.example.net", runtimes=("script", "docker"), unavailable=("docker",))
    rows = table_cells([node_row(full), node_row(known("b" * 10, labels={"region": "eu", "disk": "ssd"}))])
    assert rows[0][5] == "script,(docker)"
    for width in (200, 100, 80, 60):
        lines = list(layout(rows, width, False, NODE_COLUMNS))
        assert max(map(len, lines)) <= width
        assert lines[0].split()[:5] == ["CLOUD", "STATE", "HOST", "SESSIONS", "LOAD"]
    assert "\x1b[32mup" in "\n".join(layout(rows, 200, True, NODE_COLUMNS))


def test_bars() -> None:
    assert [bar(share) for share in (-1, 0, 0.25, 1, 7)] == ["······", "······", "█▌····", "██████", "██████"]


def test_load_alone_is_no_news() -> None:
    before, after = node_row(known()), node_row(known(score=99.0, silent=1.0))
    assert change_key(before) == change_key(after) != change_key(node_row(known(sessions=4)))


def test_labels_of_one_that_is_away_are_not_known() -> None:
    assert [row.id for row in node_rows([known(labels={"a": "1"}), away()], {"a": "1"})] == [HERE]


def test_a_cloud_is_named_by_id_or_host() -> None:
    clouds = [known(), known("ca" + "0" * 8, host="host.test.example"), away()]
    assert match_node("ccc", clouds) == HERE
    assert match_node("host.test", clouds) == HERE, "the whole name counts more than a beginning"
    assert match_node("fa", clouds) == AWAY
    with pytest.raises(UsageError, match=r"(?s)any of 2 clouds.*cccccccccc \(host.test\)"):
        match_node("c", clouds)
    with pytest.raises(NotFound, match=r"no cloud hots.test, did you mean host.test\?"):
        match_node("hots.test", clouds)
    with pytest.raises(NotFound, match="`clouds` shows all"):
        match_node("", clouds)


def test_drain_and_undrain(two: Shell) -> None:
    two.obedient.add()
    drained = two.run("drain", "game7")
    assert (drained.code, drained.lines) == (0, [f"{HERE} takes nothing new; 2 sessions there"])
    assert two.obedient.draining
    answer = json.loads(two.run("undrain", "cc", HERE, "-o", "json").out)
    assert (answer["cloud"], answer["draining"], answer["kept"]) == (HERE, False, True)
    assert two.run("drain", HERE, "-o", "ids").lines == [HERE]


def test_one_that_cannot_be_told_holds_up_no_other(two: Shell) -> None:
    result = two.run("drain", AWAY, "game7", "-o", "ids")
    assert (result.code, result.lines) == (124, [HERE])
    assert result.err == f"pycloudctl: {AWAY}: cloud {AWAY} is not there; only it can answer this\n"
    unknown = two.run("drain", "nowhere")
    assert (unknown.code, unknown.out) == (3, b"")
    assert "there is no cloud nowhere" in unknown.err


def test_wait_until_nothing_lives_there(two: Shell) -> None:
    two.cloud.rank |= {"draining": True, "sessions": 1}
    two.cloud.announce()
    with two.start("drain", HERE, "--wait", "-o", "ids") as process:
        wait_until(lambda: two.obedient.draining)
        two.cloud.retire()
        assert process.stderr is not None
        assert b"is away" in process.stderr.readline()
        two.cloud.rank["sessions"] = 0
        two.cloud.announce()
        out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out, err) == (0, f"{HERE}\n".encode(), b"")


def test_waiting_ends_when_it_can_come_to_nothing(two: Shell) -> None:
    two.cloud.rank |= {"draining": True, "sessions": 1}
    two.cloud.announce()
    late = two.run("drain", HERE, "--wait", "--timeout", "1.5")
    assert (late.code, late.err) == (124, "pycloudctl: 1 session still lives there\n")
    two.cloud.rank["draining"] = False
    two.cloud.announce()
    undone = two.run("drain", HERE, "--wait")
    assert undone.code == 1
    assert "somebody has told it to" in undone.err
