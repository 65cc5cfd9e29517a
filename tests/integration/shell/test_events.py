"""``pycloudctl events``: what happened, and what happens."""

from __future__ import annotations

import json
import signal

import redis

from tests.support.pycloudctl import TIMEOUT, Shell
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SESSION = "0123456789cccccccccc"


def test_what_happened(shell: Shell) -> None:
    shell.tell({"event": "cloud.up"}, {"event": "session.exited", "session": SESSION, "exit_code": 3, "new": 1})

    table = shell.run("events")
    assert table.code == 0
    assert table.lines[0].split() == ["TIME", "EVENT", "NODE", "SESSION", "NOTE"]
    assert [line.split()[2] for line in table.lines[1:]] == ["cloud.up", "session.exited"]
    assert table.lines[2].endswith(f"{SESSION}  exit 3")
    assert [json.loads(line).get("new") for line in shell.run("events", "-o", "json").lines] == [None, 1]
    assert shell.run("events", "-o", "ids").lines == [SESSION]
    assert len(shell.run("events", "-n", "1", "-o", "json").lines) == 1
    assert len(shell.run("events", "--since", "1h", "-o", "json").lines) == 2
    assert shell.run("events", "--since", "2100-01-01").out == b""


def test_without_more_the_newest_are_shown(shell: Shell) -> None:
    shell.tell(*({"event": "cloud.up", "number": number} for number in range(30)))

    assert [json.loads(line)["number"] for line in shell.run("events", "-o", "json").lines] == [*range(10, 30)]
    assert len(shell.run("events", "--since", "1h", "-o", "json").lines) == 30


def test_following_survives_a_restart_of_redis(own_redis: RedisServer, shell: Shell) -> None:
    with redis.Redis.from_url(own_redis.url, protocol=2) as server:
        key = shell.node.names.events_key

        def happens(node: str) -> bytes:
            event = json.dumps({"event": "cloud.up", "cloud": node, "time": 1.5}).encode()
            server.xadd(key, {"event": event})
            return event + b"\n"

        first = happens("c1")
        with shell.start("events", "-f", "-o", "json", "--redis", own_redis.url) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == first
            second = happens("c2")
            assert process.stdout.readline() == second
            own_redis.restart(keep_data=False)
            third = happens("c3")
            assert process.stdout.readline() == third
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=TIMEOUT)

    assert process.returncode == 130
    assert err.count(b"Retrying: ") == err.count(b"Redis is available again.") == 1


def test_a_reader_that_goes_away_ends_it(shell: Shell) -> None:
    with shell.start("events", "-f", "-n", "0", "-o", "json") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None

        def ended() -> bool:
            shell.tell({"event": "cloud.up"})
            return process.poll() is not None

        wait_until(ended, TIMEOUT)
        _, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (141, b"")


def test_usage(shell: Shell) -> None:
    for words, said in (
        (("-n", "x"), "whole number"),
        (("--since", "soon"), "is not a time"),
        (("--flolow",), "--follow"),
    ):
        result = shell.run("events", *words)
        assert (result.code, result.out) == (2, b"")
        assert said in result.err
