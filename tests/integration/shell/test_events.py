"""``pycloudctl events``: what happened, and what happens."""

from __future__ import annotations

import argparse
import json
import signal

import msgspec
import pytest
import redis

from pycloud.protocol.messages import Event
from pycloud.shell.base.flags import parse_time
from pycloud.shell.node_commands.events import event_line, note
from tests.support.pycloudctl import TIMEOUT, Shell
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SESSION = "0123456789cccccccccc"
EXITED = Event("session.exited", "cccccccccc", 1795471990.1, session=SESSION, exit_code=3, reason="\x1b[2J")


def test_what_happened(shell: Shell) -> None:
    shell.tell({"event": "cloud.up"}, {"event": "session.exited", "session": SESSION, "exit_code": 3, "new": 1})

    table = shell.run("events")
    assert table.code == 0
    assert table.lines[0].split() == ["TIME", "EVENT", "CLOUD", "SESSION", "NOTE"]
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
        key = shell.cloud.names.events_key

        def happens(cloud: str) -> bytes:
            event = json.dumps({"event": "cloud.up", "cloud": cloud, "time": 1.5}).encode()
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
    assert err.count(b"going on as soon as it is back") == err.count(b"Redis is back.") == 1


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
        (("--since", "soon"), "is no time"),
        (("--flolow",), "--follow"),
    ):
        result = shell.run("events", *words)
        assert (result.code, result.out) == (2, b"")
        assert said in result.err


def test_a_line_fits_the_screen_and_obeys_nothing() -> None:
    assert note(EXITED) == "exit 3, \x1b[2J"
    assert "\x1b" not in event_line(EXITED, None, colour=False)
    assert len(event_line(EXITED, 60, colour=False)) == 60
    named = Event("session.exited", "cccccccccc", 1795471990.1, session=SESSION, exit_code=3, name="web")
    assert event_line(named, 100, colour=False).endswith("  01234567 web          exit 3")
    killed = msgspec.structs.replace(EXITED, exit_code=143, reason=None)
    assert event_line(killed, 80, colour=False).endswith("session.exited    cccccccccc  0123456789cccccccccc  exit 143")
    assert event_line(killed, 80, colour=False)[2] == event_line(killed, 100, colour=False)[7] == "-"
    pulling = Event("session.pulling", "c", 1e300, image="i", progress="1 of 2 MB", done=0.5)
    assert event_line(pulling, None, colour=True).endswith("i, 1 of 2 MB (50%)")
    assert event_line(pulling, None, colour=True).startswith("-")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 910.0),
        ("1.5m", 910.0),
        ("0d", 1000.0),
        ("1795471990.5", 1795471990.5),
        ("2026-01-31T18:00Z", 1769882400),
    ],
)
def test_moments(text: str, expected: float) -> None:
    assert parse_time(text, 1000.0) == expected


@pytest.mark.parametrize("text", ["", "soon", "-5m", "5", "10 m", "2026-13-01", "\u0661m"])
def test_no_moments(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        parse_time(text, 1000.0)
