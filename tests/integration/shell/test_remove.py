"""``pycloudctl remove`` of several sessions (UX 15): it asks, does many at a time, and says what it did."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pexpect
import pytest

from tests.support.fake_node import Fields, Heard
from tests.support.pycloudctl import PYCLOUDCTL, TIMEOUT, Shell

SHOP, BLOG = '{"app": "shop"}', '{"app": "blog"}'


@contextmanager
def terminal(shell: Shell, *words: str) -> Iterator[Any]:
    """The program in front of a terminal."""
    arguments = [*PYCLOUDCTL[1:], *words]
    child = pexpect.spawn(PYCLOUDCTL[0], arguments, env=shell.environ, timeout=TIMEOUT, encoding="utf-8")
    try:
        yield child
    finally:
        child.close(force=True)


def end_of(child: Any) -> tuple[str, int]:
    """What else it says, and its exit code."""
    child.expect(pexpect.EOF)
    child.wait()
    return str(child.before), int(child.exitstatus)


def removed(shell: Shell) -> list[str]:
    """The sessions that a cloud was asked to remove."""
    return [heard.fields["session"] for heard in shell.node.heard if heard.op == "remove"]


def test_ux_15_destroying_more_than_one_thing_asks(shell: Shell) -> None:
    first, second = shell.obedient.add(name="web"), shell.obedient.add("exited")
    for answer, code in (("", 1), ("n", 1), ("yes please", 1), ("y", 0)):
        assert set(shell.obedient.sessions) == {first, second}
        with terminal(shell, "remove", "web", second) as child:
            child.expect(re.escape("Remove 2 sessions? [y/N] "))
            assert re.search(rf"{first}  web  running\s+{second}  exited\s", child.before)
            child.sendline(answer)
            said, ended = end_of(child)
        assert ended == code, said
        assert ("Nothing was removed." in said) is (code == 1)
    assert not shell.obedient.sessions
    assert "Removed 2 of 2 sessions." in said
    assert f"{first} removed" in said


def test_ux_15_ctrl_c_and_ctrl_d_at_the_question_remove_nothing(shell: Shell) -> None:
    shell.obedient.add(), shell.obedient.add()
    for key, code in (("\x03", 130), ("\x04", 1)):
        with terminal(shell, "remove", "--all") as child:
            child.expect("y/N")
            child.send(key)
            assert end_of(child)[1] == code
    assert not removed(shell)


def test_ux_15_one_thing_is_not_asked_about(shell: Shell) -> None:
    shell.obedient.add(labels=SHOP)
    other = shell.obedient.add(labels=BLOG)
    assert shell.run("remove", "--label", "app=shop").code == 0
    assert list(shell.obedient.sessions) == [other]
    result = shell.run("remove", "--all")
    assert (result.code, result.lines, result.err) == (0, [f"{other} removed"], "")


@pytest.mark.parametrize("words", [("--all",), ("--label", "app=shop"), ("--cloud", "cccccccccc"), None])
def test_ux_15_without_a_terminal_it_refuses_unless_told_yes(shell: Shell, words: tuple[str, ...] | None) -> None:
    sessions = [shell.obedient.add(labels=SHOP) for _ in range(3)]
    words = words or tuple(sessions)
    result = shell.run("remove", *words, stdin=b"y\n")
    assert (result.code, result.out) == (2, b"")
    assert "Remove 3 sessions? There is no terminal to confirm it on: use --yes." in result.err
    assert not removed(shell)

    confirmed = shell.run("remove", *words, "--yes")
    assert (confirmed.code, sorted(confirmed.lines)) == (0, sorted(f"{session} removed" for session in sessions))
    assert confirmed.err == "Removed 3 of 3 sessions.\n"
    assert not shell.obedient.sessions


def test_what_is_to_go_must_be_all_that_is_asked_for(shell: Shell) -> None:
    here, blog = shell.obedient.add(labels=SHOP), shell.obedient.add(labels=BLOG)
    there = [shell.obedient.add(session=f"000000000{n}dddddddddd", labels=SHOP) for n in range(2)]

    words = ("--all", "--label", "app=shop", "--cloud", "dddddddddd", "-y", "-o", "ids")
    assert sorted(shell.run("remove", *words).lines) == there
    assert list(shell.obedient.sessions) == [here, blog]
    nothing = shell.run("remove", "--label", "app=none", "-y")
    assert (nothing.code, nothing.out) == (0, b"")
    assert "No sessions match. Nothing was removed." in nothing.err


def test_many_are_removed_at_a_time_and_counted_on_a_terminal(shell: Shell) -> None:
    for _ in range(40):
        shell.obedient.add()
    with terminal(shell, "remove", "--all") as child:
        child.expect(re.escape("... and 30 more"))
        child.sendline("y")
        said, code = end_of(child)
    assert code == 0
    assert re.search(r"Removed \d+ of 40 \.\.\.", said), said
    assert "Removed 40 of 40 sessions." in said
    assert "removed\r\n" not in said, "not a line for each"
    assert not shell.obedient.sessions


def test_what_cannot_be_removed_holds_up_no_other_and_is_said(shell: Shell) -> None:
    bad, *good = [shell.obedient.add() for _ in range(5)]
    plain = shell.node._reply

    def reply(heard: Heard, before: int) -> Fields | bytes | None:
        if heard.fields.get("session") == bad:
            error = {"code": "remove_failed", "message": "disk on fire"}
            return {"cloud": "cccccccccc", "id": bad, "status": False, "error": error}
        return plain(heard, before)

    shell.node._reply = reply
    result = shell.run("remove", "--all", "-y")
    assert (result.code, len(result.lines)) == (4, len(good))
    assert f"{bad}: disk on fire (remove_failed)" in result.err
    assert "Removed 4 of 5 sessions." in result.err


def test_ctrl_c_in_the_middle_says_what_was_done(shell: Shell) -> None:
    for _ in range(30):
        shell.obedient.add()
    stuck, plain = threading.Event(), shell.node._reply

    def reply(heard: Heard, before: int) -> Fields | bytes | None:
        if len(removed(shell)) <= 5:
            return plain(heard, before)
        stuck.set()
        return None

    shell.node._reply = reply
    with shell.start("remove", "--all", "--yes") as process:
        assert process.stdout
        done = [process.stdout.readline() for _ in range(5)]
        assert all(line.endswith(b" removed\n") for line in done)
        assert stuck.wait(TIMEOUT)
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    found = re.search(
        r"Stopped. Removed 5 of 30 sessions. (\d+) other requests may still be carried out. (\d+) were left unchanged",
        err.decode(),
    )
    assert found, err
    assert int(found[1]) + int(found[2]) == 25
    assert len(set(removed(shell))) < 30
