"""``pycloudctl list``: filters, orders, pages, and ten thousand sessions."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pexpect
import pytest
import redis

from pycloud.protocol.keys import Keys
from tests.support.pycloudctl import PYCLOUDCTL, Shell
from tests.support.redis_server import RedisServer

MANY = 10_000
NAMES = Keys()


def ids(shell: Shell, *words: str) -> list[str]:
    result = shell.run("list", "-o", "ids", *words)
    assert (result.code, result.err) == (0, "")
    return result.lines


def test_by_cloud_and_state(shell: Shell) -> None:
    running, exited = shell.obedient.add(), shell.obedient.add("exited")
    failed = shell.obedient.add("failed", session="0000000001dddddddddd")

    assert ids(shell) == ids(shell, "--cloud", "cccccccccc", "--cloud", "dddddddddd") == [running, exited, failed]
    assert ids(shell, "--cloud", "dddddddddd") == [failed]
    assert ids(shell, "--state", "exited") == [exited]
    assert ids(shell, "--state", "exited", "--state", "failed") == [exited, failed]
    assert ids(shell, "--state", "exited", "--cloud", "dddddddddd") == []
    assert [line.split()[0] for line in shell.run("list", "--state", "running").lines[1:]] == [running]


def test_the_other_way_round(shell: Shell) -> None:
    first, second, third = (shell.obedient.add(host=host) for host in ("b", "a", "b"))

    assert ids(shell, "--reverse") == [third, second, first]
    assert ids(shell, "--reverse", "--limit", "1", "--skip", "1") == [second]
    assert ids(shell, "--reverse", "--sort", "host", "--state", "running") == [third, first, second]


def test_ps_is_list(shell: Shell) -> None:
    session = shell.obedient.add()

    assert shell.run("ps", "-o", "ids").lines == [session]
    assert shell.run("ps", "--help").out == shell.run("help", "ps").out == shell.run("help", "list").out


def test_orders(shell: Shell) -> None:
    first = shell.obedient.add("running", session="0000000001dddddddddd", host="b", cloud="d" * 10)
    second = shell.obedient.add("lost", session="0000000002cccccccccc", host="c")
    third = shell.obedient.add("running", session="0000000003eeeeeeeeee", host="a", cloud="e" * 10)

    assert ids(shell, "--sort", "created") == [first, second, third]
    assert ids(shell, "--sort", "state") == [second, first, third]
    assert ids(shell, "--sort", "host") == [third, first, second]
    assert ids(shell, "--sort", "cloud") == [second, first, third]


@pytest.mark.parametrize("sort", ["created", "host"])
@pytest.mark.parametrize("state", [(), ("--state", "running")])
def test_pages(shell: Shell, sort: str, state: tuple[str, ...]) -> None:
    added = [shell.obedient.add() for _ in range(5)]
    words = ("--sort", sort, *state)

    assert ids(shell, *words, "--limit", "2") == added[:2]
    assert ids(shell, *words, "--limit", "2", "--skip", "2") == added[2:4]
    assert ids(shell, *words, "--skip", "4") == added[4:]
    assert ids(shell, *words, "--limit", "9", "--skip", "9") == []
    table = shell.run("list", *words, "--limit", "2", "--skip", "1").lines
    assert [line.split()[0] for line in table[1:]] == added[1:3]


def test_a_page_says_how_to_go_on(shell: Shell) -> None:
    for _ in range(5):
        shell.obedient.add()
    command = shlex.join([*PYCLOUDCTL, "list", "--limit", "2", "--skip", "2"])
    assert b"1 more. Next: repeat with --skip 4" in pexpect.run(command, env=shell.environ)
    assert b"No sessions match." in pexpect.run(f"{command} --state lost", env=shell.environ)


def test_what_is_recorded_of_a_cloud_that_is_away_is_stale(shell: Shell) -> None:
    here, away = shell.obedient.add(), shell.obedient.add(session="0000000001dddddddddd")

    lines = {line.split()[0]: line for line in shell.run("list").lines[1:]}
    assert "its node is offline" not in lines[here]
    assert "its node is offline" in lines[away]
    rows = {row["id"]: row for row in map(json.loads, shell.run("list", "-o", "json").lines)}
    assert (rows[here].get("stale"), rows[away].get("stale")) == (None, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--state", "dead"), "running"),
        (("--sort", "size"), "created"),
        (("--limit", "0"), "1 or more"),
        (("--limit", "-1"), "--limit"),
        (("--sotr", "host"), "did you mean --sort?"),
    ],
)
def test_usage(shell: Shell, words: tuple[str, ...], said: str) -> None:
    result = shell.run("list", *words)

    assert (result.code, result.out) == (2, b"")
    assert said in result.err


@pytest.fixture(scope="module")
def many_sessions(shared_redis: RedisServer) -> Iterator[Any]:
    """A Redis that knows ten thousand sessions of two clouds, both alive."""
    with redis.Redis.from_url(shared_redis.url, protocol=2) as server:
        with server.pipeline() as pipeline:
            for number in range(MANY):
                node = ("a" if number % 2 else "b") * 10
                session = f"{number:010x}{node}"
                pipeline.zadd(NAMES.sessions_key, {session: 1e9 + number})
                record = {"cloud": node, "state": "running", "host": "h", "port": "4000", "created": f"{1e9 + number}"}
                pipeline.hset(NAMES.session_key(session), mapping=record)
            pipeline.execute()
        yield server


def calls(server: Any) -> dict[str, int]:
    return {name: stats["calls"] for name, stats in server.info("commandstats").items()}


@pytest.mark.parametrize(
    ("words", "shown", "read"),
    [((), MANY, MANY), (("--limit", "20"), 20, 20), (("--cloud", "a" * 10, "--limit", "20"), 20, 20)],
)
def test_of_ten_thousand_only_what_is_shown_is_read(
    shell: Shell, many_sessions: Any, words: tuple[str, ...], shown: int, read: int
) -> None:
    shell.env["PYCLOUD_NAMESPACE"] = ""
    many_sessions.config_resetstat()
    result = shell.run("list", *words)

    assert len(result.lines) == shown + 1
    counted = calls(many_sessions)
    assert counted["cmdstat_hgetall"] == read
    assert counted["cmdstat_zrangebyscore"] <= MANY // 500 + 1


def test_ids_alone_need_no_record(shell: Shell, many_sessions: Any) -> None:
    shell.env["PYCLOUD_NAMESPACE"] = ""
    many_sessions.config_resetstat()

    assert len(ids(shell, "--cloud", "a" * 10)) == MANY // 2
    assert "cmdstat_hgetall" not in calls(many_sessions)
