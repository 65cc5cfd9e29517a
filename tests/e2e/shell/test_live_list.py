"""``list -f`` and ``status -f``: drawn anew on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import json
import signal
from typing import Any

import redis

from pycloud.protocol.keys import Keys
from tests.support.pycloudctl import TIMEOUT, Shell
from tests.support.redis_server import RedisServer
from tests.support.terminal import CTRL_C, Screen
from tests.support.waiting import wait_until


def happens(shell: Shell, session: str, **record: str) -> None:
    """Something changes on record, and everybody is told."""
    names: Keys = shell.node.names
    if record:
        shell.node.redis.hset(names.session_key(session), mapping=record)
    shell.node.redis.xadd(names.events_key, {"event": b'{"event": "session.exited", "cloud": "c", "time": 1.5}'})


def test_a_program_gets_what_changes(shell: Shell) -> None:
    first = shell.obedient.add()
    with shell.start("list", "-f") as process:
        assert process.stdout is not None

        def line() -> dict[str, Any]:
            assert process.stdout is not None
            read: dict[str, Any] = json.loads(process.stdout.readline())
            return read

        assert (line()["id"], process.poll()) == (first, None)
        second = shell.obedient.add()
        happens(shell, second)
        assert line()["id"] == second
        happens(shell, first, state="exited", exit_code="3")
        assert (row := line())["id"] == first
        assert (row["state"], row["exit_code"]) == ("exited", 3)
        shell.run("remove", second)
        happens(shell, first)
        assert line() == {"cloud": "c" * 10, "id": second, "status": False, "state": ""}
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (130, b"pycloudctl: Interrupted.\n")


def test_ids_and_the_end_of_the_time(shell: Shell) -> None:
    session = shell.obedient.add()
    result = shell.run("status", session, "-f", "-o", "ids", "--timeout", "1")
    assert (result.code, result.lines) == (0, [session])


def test_it_survives_a_restart_of_redis(own_redis: RedisServer, shell: Shell) -> None:
    names = shell.node.names
    with redis.Redis.from_url(own_redis.url, protocol=2) as server:

        def add(session: str) -> None:
            server.hset(names.session_key(session), mapping={"state": "running", "cloud": "c" * 10})
            server.zadd(names.sessions_key, {session: 1.0})

        add("0" * 10 + "c" * 10)
        with shell.start("list", "-f", "-o", "ids", "--redis", own_redis.url) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"0000000000cccccccccc\n"
            own_redis.stop()
            assert process.stderr is not None
            assert b"Retrying: " in process.stderr.readline()
            own_redis.start()
            add("1" * 10 + "c" * 10)
            assert process.stdout.readline() == b"1111111111cccccccccc\n"
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=TIMEOUT)
    assert err == b"Redis is available again.\npycloudctl: Interrupted.\n"


def test_a_terminal_shows_how_it_stands(shell: Shell) -> None:
    first, second = shell.obedient.add(), shell.obedient.add()
    screen = Screen(shell, "list", "-f")
    screen.shows("SESSION", first, second)
    happens(shell, first, state="exited", exit_code="3")
    text = screen.shows("exit 3")
    assert text.count("SESSION") == text.count(first) == 1, "drawn over, not below"
    shell.run("remove", second)
    happens(shell, first)
    wait_until(lambda: second not in screen.text, 20, lambda: screen.text)
    drawn = len(screen.raw)
    happens(shell, first)
    screen.resize(60)
    happens(shell, first, state="failed", reason="x" * 200)
    screen.shows("failed", "…")
    assert len(screen.raw) > drawn
    screen.type(CTRL_C)
    assert screen.shows("Interrupted.").count(first) == 1, "the last picture stays"
    assert screen.ends() == 130


def test_no_more_is_drawn_than_there_is_room_for(shell: Shell) -> None:
    for _ in range(30):
        shell.obedient.add()
    screen = Screen(shell, "list", "-f", "--reverse", lines=10)
    text = screen.shows("23 more")
    assert len(text.splitlines()) == 9
    assert text.splitlines()[1].split()[0] == list(shell.obedient.sessions)[-1]
    screen.close()


def test_status_on_a_terminal(shell: Shell) -> None:
    session = shell.obedient.add()
    screen = Screen(shell, "status", "-f", session[:6])
    screen.shows(session, "running")
    happens(shell, session, state="lost")
    screen.shows("lost")
    shell.run("remove", session)
    happens(shell, session)
    screen.shows("not on record")
    screen.close()


def test_a_terminal_that_cannot_draw_over_gets_lines(shell: Shell) -> None:
    session, shell.env["TERM"] = shell.obedient.add(), "dumb"
    screen = Screen(shell, "list", "-f")
    screen.shows('"id":"' + session[:8])
    screen.close()


def test_a_terminal_is_told_that_redis_is_away(own_redis: RedisServer, shell: Shell) -> None:
    shell.env["PYCLOUD_REDIS_URL"] = own_redis.url
    screen = Screen(shell, "list", "-f")
    screen.shows("No sessions.")
    own_redis.stop()
    screen.shows("No sessions.", "Retrying: ")
    own_redis.start()
    wait_until(lambda: "Retrying" not in screen.text, 20, lambda: screen.text)
    screen.type(CTRL_C)
    assert screen.ends() == 130


def test_usage(shell: Shell) -> None:
    unknown = shell.run("status", "-f", "ff")
    assert (unknown.code, unknown.out) == (3, b"")
    assert "there is no session ff" in unknown.err
