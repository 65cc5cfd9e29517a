"""Names and labels: a name wherever an id may stand, and lists of those that have them."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import redis
from redis.typing import EncodableT, FieldT

from pycloud.client import Client
from pycloud.protocol.keys import Keys
from pycloud.transport.blocking import DeadlineConnection, RedisCommand
from tests.support.pycloudctl import Shell
from tests.support.redis_server import RedisServer

MANY = 10_000


def listed(shell: Shell, *words: str) -> list[str]:
    result = shell.run("list", "-o", "ids", *words)
    assert (result.code, result.err) == (0, "")
    return result.lines


def test_a_session_is_created_with_name_and_labels(shell: Shell) -> None:
    words = ("--name", "web", "--label", "app=shop", "--label", "tier=")
    created = shell.run("create", "-", *words, stdin=b"x")

    fields = shell.node.heard[0].fields
    assert (fields["name"], fields["labels"]) == ("web", {"app": "shop", "tier": ""})
    assert created.lines[0].split()[:3] == ["SESSION", "NAME", "STATE"]
    assert created.lines[1].split()[1] == "web"
    (row,) = (json.loads(line) for line in shell.run("list", "-o", "json").lines)
    assert (row["name"], row["labels"]) == ("web", {"app": "shop", "tier": ""})


@pytest.mark.parametrize("op", ["status", "logs", "remove", "wait"])
def test_a_name_is_taken_wherever_an_id_is(shell: Shell, op: str) -> None:
    session = shell.obedient.add("exited" if op == "wait" else "running", name="web")
    shell.obedient.add(name="web-2")

    shell.run(op, "web", "--timeout", "5")
    assert shell.node.heard[0].fields["session"] == session


def test_names_ids_and_beginnings_of_ids_go_together(shell: Shell) -> None:
    first = shell.obedient.add(session="aabb000001cccccccccc", name="web")
    second = shell.obedient.add(session="aabb000002cccccccccc", name="cafe-1")
    third = shell.obedient.add()

    result = shell.run("status", "cafe-1", "aabb000001", third, "web", "-o", "ids")
    assert (result.code, result.lines) == (0, [second, first, third])
    both = shell.run("status", "aabb")
    assert both.code == 2
    assert first in both.err
    assert second in both.err
    missing = shell.run("status", "nobody", "we", "Web", "w*", os.fsdecode(b"\xff"))
    assert missing.code == 3
    assert missing.err.count("there is no session") == 5


def test_a_name_that_nobody_has_is_compared_with_those_that_there_are(shell: Shell) -> None:
    shell.obedient.add(name="web-1")
    for op in ("status", "remove", "logs", "inspect", "wait"):
        result = shell.run(op, "wbe-1")
        assert (result.code, result.err) == (3, "pycloudctl: there is no session wbe-1, did you mean web-1?\n")


def test_a_name_that_another_had_later_is_no_name_of_the_first(shell: Shell) -> None:
    first, second = shell.obedient.add("exited", name="web"), shell.obedient.add(name="web")
    shell.node.redis.hset(shell.node.names.name_key("web"), "session", second)
    shell.node.redis.delete(shell.node.names.session_key(second), shell.node.names.name_key("web"))

    result = shell.run("remove", "web")
    assert result.code == 3
    assert result.err.endswith(f"no live session has the name web; the ended session {first} had it\n")
    assert not shell.node.heard


def count_commands(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands each round trip to Redis carries, from now on."""
    counts: list[int] = []
    execute = DeadlineConnection.execute

    def counted(
        connection: DeadlineConnection, deadline: float, *commands: RedisCommand, text: bool = False
    ) -> list[Any]:
        counts.append(len(commands))
        return execute(connection, deadline, *commands, text=text)

    monkeypatch.setattr(DeadlineConnection, "execute", counted)
    return counts


def test_a_name_is_looked_up_in_one_read_however_many_sessions_there_are(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = shell.obedient.add(name="web")
    calls = count_commands(monkeypatch)

    with Client(shell.url, namespace=shell.node.names.namespace) as client:
        assert client.session_named("web") == session
        assert client.sessions_named(["web", "other"]) == {"web": session}
    assert calls == [1, 2]


def test_the_column_is_there_only_where_any_session_has_a_name(shell: Shell) -> None:
    shell.obedient.add()
    assert "NAME" not in shell.run("list").lines[0]
    shell.obedient.add(name="web")
    heading, *rows = shell.run("list").lines
    assert [row[heading.index("NAME") :].split()[0] for row in rows] == ["running", "web"]


def test_lists_by_label_and_name(shell: Shell) -> None:
    front = shell.obedient.add(name="web-1", labels='{"app": "shop", "tier": "front"}')
    back = shell.obedient.add(name="db", labels='{"app": "shop"}')
    other = shell.obedient.add(labels='{"app": "blog"}')
    plain = shell.obedient.add("exited", name="web-2")

    assert listed(shell, "--label", "app=shop") == [front, back]
    assert listed(shell, "--label", "app=shop", "--label", "tier=front") == [front]
    assert listed(shell, "--label", "app=nothing") == []
    assert listed(shell, "--name", "web-*") == [front, plain]
    assert listed(shell, "--name", "web-*", "--state", "running") == [front]
    assert listed(shell, "--name", "db") == [back]
    assert listed(shell, "--name", "WEB-*") == []
    assert listed(shell, "--sort", "name") == [back, front, plain, other]
    assert listed(shell, "--name", "*", "--skip", "1", "--limit", "1") == [back]


def test_ten_thousand_sessions_are_read_in_pages(shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    names, client = Keys("test.many-named"), redis.Redis.from_url(shared_redis.url)
    with client.pipeline(transaction=False) as pipe:
        for number in range(MANY):
            session = f"{number:010x}cccccccccc"
            pipe.zadd(names.sessions_key, {session: number})
            name, labels = f"web-{number}", f'{{"tens": "{number % 10}"}}'
            record: dict[FieldT, EncodableT] = {"cloud": "c" * 10, "state": "running", "created": number}
            pipe.hset(names.session_key(session), mapping=record | {"name": name, "labels": labels})
        pipe.execute()
    round_trips = count_commands(monkeypatch)

    with Client(shared_redis.url, namespace=names.namespace) as reader:
        found = list(reader.sessions(labels={"tens": "3"}, name="web-*"))
        assert [found[0].name, found[-1].name, len(found)] == ["web-3", "web-9993", MANY // 10]
        # For each page of 500 one for the ids and one for the records; the last page turns out to be empty.
        assert len(round_trips) <= 2 * MANY // 500 + 1
        round_trips.clear()
        assert len(list(reader.session_ids())) == MANY
        assert len(round_trips) <= MANY // 500 + 1
