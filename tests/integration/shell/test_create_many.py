"""``pycloudctl create --count``: many at once, and what is said of them."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pycloud.shell.session_commands.create_many import MAX_CONCURRENT
from tests.support.fake_node import Fields, Heard
from tests.support.pycloudctl import TIMEOUT, Shell
from tests.support.terminal import CTRL_C, Screen
from tests.support.waiting import wait_until


@pytest.fixture
def script(tmp_path: Path) -> str:
    file = tmp_path / "script"
    file.write_text("sleep 60")
    return str(file)


def answer_only(shell: Shell, number: int) -> None:
    """Let the cloud say nothing to creates after the first ``number``."""

    def reply(heard: Heard, before: int) -> Fields | None:
        return shell.obedient(heard, before) if len(shell.obedient.sessions) < number else None

    shell.node._reply = reply


def test_as_many_as_were_asked_for(shell: Shell, script: str) -> None:
    result = shell.run("create", script, "--count", "100", "-o", "ids", "-e", "A=b")
    assert (result.code, result.err) == (0, "")
    assert sorted(result.lines) == sorted(shell.obedient.sessions)
    assert len({heard.fields["id"] for heard in shell.node.heard}) == 100
    assert {heard.fields["env"]["A"] for heard in shell.node.heard} == {"b"}


def test_lines_come_as_sessions_run_and_the_worst_code_counts(shell: Shell, script: str) -> None:
    said: list[Any] = []

    def reply(heard: Heard, before: int) -> Fields:
        said.append(heard.fields["id"])
        if len(said) % 2:
            return shell.obedient(heard, before)
        error = {"code": "no_capacity", "message": "every cloud is full"}
        return {"cloud": shell.node.cloud, "id": None, "error": error}

    shell.node._reply = reply
    result = shell.run("create", script, "--count", "10", "-o", "json")
    answers = [json.loads(text) for text in result.lines]
    assert (result.code, len(answers)) == (4, 10)
    assert sum("error" in answer for answer in answers) == 5
    first, second = result.err.splitlines()
    assert first == "pycloudctl: 5 of 10 not started: every cloud is full (no_capacity)"
    assert second.startswith("Started 5 of 10 sessions on 1 node in ")


def test_no_more_at_once_than_is_good(shell: Shell, script: str) -> None:
    answer_only(shell, 3)
    with shell.start("create", script, "--count", "200", "--timeout", "60") as process:
        wait_until(lambda: len({heard.fields["id"] for heard in shell.node.heard}) == MAX_CONCURRENT + 3, 20)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=TIMEOUT)
    assert time.monotonic() - began < 20, "it does not wait for its requests"
    assert process.returncode == 130
    assert len(out.splitlines()) == 4, "a table of those that were started"
    assert "Stopped. Started 3 of 200 sessions; they keep running. " in err.decode()
    assert f" {MAX_CONCURRENT} other requests may still be carried out." in err.decode()


def test_what_all_would_meet_ends_it(shell: Shell, script: str) -> None:
    shell.node.retire()
    result = shell.run("create", script, "--count", "500")
    assert (result.code, result.out) == (124, b"")
    assert "not started: no node is online" in result.err
    assert result.err.splitlines()[-1].startswith("Started 0 of 500 sessions in ")
    assert int(result.err.split()[1]) <= MAX_CONCURRENT


def test_no_answer(shell: Shell, script: str) -> None:
    answer_only(shell, 1)
    result = shell.run("create", script, "--count", "3", "--timeout", "0.5", "-o", "ids")
    assert (result.code, len(result.lines)) == (124, 1)
    assert "2 of 3 not started: there was no response in time; they may still be started" in result.err


def test_a_terminal_shows_how_far_it_is(shell: Shell, script: str) -> None:
    answer_only(shell, 30)
    screen = Screen(shell, "create", script, "--count", "60", "-o", "ids", "--timeout", "60")
    screen.shows("] Started 30 of 60 ...")
    assert screen.text.count("[###") == 1
    screen.type(CTRL_C)
    text = screen.shows("Stopped. Started 30 of 60 sessions; they keep running. 30 other")
    assert "[###" not in text
    assert len([line for line in text.splitlines() if line.endswith("c" * 10)]) == 30
    assert screen.ends() == 130


def test_a_terminal_gets_a_table_at_the_end(shell: Shell, script: str) -> None:
    screen = Screen(shell, "create", script, "--count", "20")
    text = screen.shows("Started 20 of 20 sessions on 1 node in ")
    assert text.splitlines()[0].split() == ["SESSION", "STATE", "ADDRESS"]
    assert screen.ends() == 0


def test_usage(shell: Shell, script: str) -> None:
    for words, said in (
        (("--count", "0"), "1 or more"),
        (("--count", "2", "--id", "x"), "--id identifies one request"),
        (("--count", "2", "--name", "x"), "--name is for one"),
    ):
        result = shell.run("create", script, *words)
        assert (result.code, result.out) == (2, b"")
        assert said in result.err
    assert not shell.node.heard
