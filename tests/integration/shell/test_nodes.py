"""``pycloudctl nodes``, ``drain`` and ``undrain``."""

from __future__ import annotations

import json
import signal
import time

import pytest

from pycloud.shell.node_commands.nodes import (
    NODE_COLUMNS,
)
from tests.support.known_nodes import OFFLINE_ID, ONLINE_ID
from tests.support.pycloudctl import TIMEOUT, Shell
from tests.support.waiting import wait_until


@pytest.fixture
def two(shell: Shell) -> Shell:
    """A node that is online and has labels, and one that is offline and has sessions."""
    shell.node.heartbeat_fields = {
        "labels": {"zone": "eu"},
        "capacity": 50,
        "sessions": 12,
        "host": "game7",
        "heartbeat": 60.0,
    }
    shell.node.announce()
    shell.node.redis.zadd(shell.node.names.nodes_key, {OFFLINE_ID: time.time() - 200})
    session = shell.obedient.add(session="0000000001" + OFFLINE_ID, host="game8")
    shell.node.redis.sadd(shell.node.names.node_sessions_key(OFFLINE_ID), session)
    return shell


def test_a_table_of_all_nodes(two: Shell) -> None:
    table = two.run("nodes")
    assert (table.code, table.err) == (0, "")
    assert table.lines[0].split() == ["NODE", "STATE", "HOST", "SESSIONS", "LOAD", *NODE_COLUMNS.headings[5:]]
    assert table.lines[1].split()[:4] == [ONLINE_ID, "up", "game7", "12/50"]
    assert "zone=eu" in table.lines[1]
    assert table.lines[2].split() == [OFFLINE_ID, "away", "game8", "1", "-", "3m"]
    assert two.run("clouds", "-o", "ids").lines == two.run("nodes", "-o", "ids").lines
    assert two.run("help", "clouds").out == two.run("help", "nodes").out


def test_for_programs(two: Shell) -> None:
    here, gone = map(json.loads, two.run("nodes", "-o", "json").lines)
    seen = {name: here.pop(name) for name in ("seen", "silent")}
    assert here == {
        "id": ONLINE_ID,
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
    assert (gone["id"], gone["state"], gone["sessions"], "score" in gone) == (OFFLINE_ID, "away", 1, False)
    assert two.run("nodes", "-o", "ids").lines == [ONLINE_ID, OFFLINE_ID]
    assert two.run("nodes", "-o", "ids", "--label", "zone=eu").lines == [ONLINE_ID]
    assert two.run("nodes", "-o", "ids", "--label", "zone=eu", "--label", "disk=ssd").lines == []


def test_followed_by_a_program(two: Shell) -> None:
    with two.start("nodes", "-f") as process:
        assert process.stdout is not None
        first = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [(row["id"], row["state"]) for row in first] == [(ONLINE_ID, "up"), (OFFLINE_ID, "away")]
        two.node.heartbeat_fields["draining"] = True
        two.node.announce()
        assert json.loads(process.stdout.readline())["state"] == "draining"
        two.node.redis.zrem(two.node.names.nodes_key, OFFLINE_ID)
        assert json.loads(process.stdout.readline()) == {"id": OFFLINE_ID, "state": ""}
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (130, b"pycloudctl: Interrupted.\n")


def test_a_node_is_named_alike_everywhere(two: Shell) -> None:
    here, there = two.obedient.add(), "0000000001" + OFFLINE_ID
    for word, sessions in (("game7", [here]), ("ccc", [here]), ("game8", [there]), (OFFLINE_ID, [there])):
        assert two.run("list", "--cloud", word, "-o", "ids").lines == sessions
    two.run("create", "-", "--cloud", "game7", stdin=b"sleep 60")
    assert two.node.heard[-1].fields["cloud"] == ONLINE_ID
    for words in (("list", "-f"), ("list",), ("remove", "--all", "-y"), ("create", "-")):
        refused = two.run(*words, "--cloud", "gane7")
        assert (refused.code, refused.out) == (3, b"")
        assert "there is no node gane7, did you mean game7?" in refused.err
    assert two.run("remove", "--cloud", "game7", "--cloud", "ccc", "-y").code == 0
    assert list(two.obedient.sessions) == [there]


def test_drain_and_undrain(two: Shell) -> None:
    two.obedient.add()
    drained = two.run("drain", "game7")
    assert (drained.code, drained.lines) == (0, [f"{ONLINE_ID} is draining; 2 live sessions"])
    assert two.obedient.draining
    answer = json.loads(two.run("undrain", "cc", ONLINE_ID, "-o", "json").out)
    assert (answer["cloud"], answer["draining"], answer["kept"]) == (ONLINE_ID, False, True)
    assert two.run("drain", ONLINE_ID, "-o", "ids").lines == [ONLINE_ID]


def test_a_node_without_a_response_delays_no_other(two: Shell) -> None:
    result = two.run("drain", OFFLINE_ID, "game7", "-o", "ids")
    assert (result.code, result.lines) == (124, [ONLINE_ID])
    reason = f"node {OFFLINE_ID} is offline, and only it can answer this; try again when it is back"
    assert result.err == f"pycloudctl: {OFFLINE_ID}: {reason}\n"
    unknown = two.run("drain", "nowhere")
    assert (unknown.code, unknown.out) == (3, b"")
    assert "there is no node nowhere" in unknown.err


def test_wait_until_no_session_lives(two: Shell) -> None:
    two.node.heartbeat_fields |= {"draining": True, "sessions": 1}
    two.node.announce()
    with two.start("drain", ONLINE_ID, "--wait", "-o", "ids") as process:
        wait_until(lambda: two.obedient.draining)
        two.node.retire()
        assert process.stderr is not None
        assert b"is offline" in process.stderr.readline()
        two.node.heartbeat_fields["sessions"] = 0
        two.node.announce()
        out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out, err) == (0, f"{ONLINE_ID}\n".encode(), b"")


def test_waiting_ends_when_it_can_come_to_nothing(two: Shell) -> None:
    two.node.heartbeat_fields |= {"draining": True, "sessions": 1}
    two.node.announce()
    late = two.run("drain", ONLINE_ID, "--wait", "--timeout", "1.5")
    assert (late.code, late.err) == (124, "pycloudctl: 1 live session remains; wait again, or remove it\n")
    two.node.heartbeat_fields["draining"] = False
    two.node.announce()
    undone = two.run("drain", ONLINE_ID, "--wait")
    assert undone.code == 1
    assert "was undrained, and accepts sessions again; repeat the drain" in undone.err
