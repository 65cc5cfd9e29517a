"""``top`` on a terminal: what stands on the screen, and that the terminal is as before when it is left."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator

import pexpect
import psutil
import pytest

from tests.support.pycloudctl import PYCLOUDCTL, Shell
from tests.support.redis_server import RedisServer
from tests.support.terminal import CTRL_C, ENTER, Screen
from tests.support.waiting import wait_until

ESCAPE, DOWN, PAGE_DOWN = "\x1b", "\x1b[B", "\x1b[6~"
FIRST, SECOND = "f000000001cccccccccc", "f000000002cccccccccc"


def end(screen: Screen) -> None:
    """SIGTERM for what the shell on this screen has started."""
    (child,) = psutil.Process(screen.pid).children()
    child.send_signal(signal.SIGTERM)


def as_before(screen: Screen) -> None:
    """The screen that was left for top is back, and so is the cursor."""
    assert screen.raw.rindex("\x1b[?1049l") > screen.raw.rindex("\x1b[?1049h")
    assert screen.raw.rindex("\x1b[?25h") > screen.raw.rindex("\x1b[?25l")


@pytest.fixture
def top(shell: Shell) -> Iterator[Screen]:
    """With two sessions, in 80x24."""
    shell.obedient.add(session=FIRST, created="1000")
    shell.obedient.add("failed", session=SECOND, created="2000", reason="no such interpreter")
    screen = Screen(shell, "top", lines=24)
    screen.shows(FIRST, SECOND)
    yield screen
    screen.close()


def test_clouds_and_sessions(shell: Shell, top: Screen) -> None:
    text = top.shows("nodes 1 up | sessions 1 live", "cccccccccc  here", "2 by created | q quit")
    assert text.index(FIRST) < text.index(SECOND)
    assert "no such in" in text
    third = shell.obedient.add(session="f000000003cccccccccc")
    top.shows(third)
    shell.obedient._remove({"session": FIRST})
    wait_until(lambda: FIRST not in top.text, 20, lambda: top.text)


def test_sort_and_filter(top: Screen) -> None:
    top.type("s")
    text = top.shows("2 by state")
    assert text.index(SECOND) < text.index(FIRST)
    top.type("r")
    text = top.shows("2 by state, reversed")
    assert text.index(FIRST) < text.index(SECOND)
    top.type("/fail")
    top.shows("/fail_")
    wait_until(lambda: FIRST not in top.text, 20, lambda: top.text)
    top.type(ENTER)
    top.shows("1 of 2 by state, reversed, with 'fail'")
    top.type("/" + ESCAPE)
    top.shows(FIRST, SECOND)


def test_the_log_of_the_selected_one(shell: Shell, top: Screen) -> None:
    shell.obedient.output = b"first line\nsecond line\n"
    top.type("l")
    top.shows(f"--- log of {FIRST} ---", "first line", "second line")
    shell.obedient.output = b"third line\n"
    top.shows("third line")
    top.type(DOWN)
    top.shows(f"--- log of {SECOND} ---", "third line")
    top.type("l")
    wait_until(lambda: "--- log" not in top.text, 20, lambda: top.text)


def test_removing_asks(shell: Shell, top: Screen) -> None:
    top.type("jx")
    top.shows(f"Remove {SECOND} and end its processes? y/n")
    top.type("n")
    top.shows("Nothing was removed.")
    assert shell.node.heard == []
    top.type("xy")
    top.shows(f"{SECOND} removed.")
    wait_until(lambda: f"{SECOND}  " not in top.text, 20, lambda: top.text)
    assert [heard.op for heard in shell.node.heard] == ["remove"]


@pytest.mark.parametrize("key", ["q", ESCAPE, CTRL_C])
def test_leaving(top: Screen, key: str) -> None:
    top.type(key)
    assert top.ends() == 0
    as_before(top)


def test_the_terminal_is_restored_on_sigterm(shell: Shell) -> None:
    shell.obedient.add(session=FIRST)
    then = "; echo code $?; stty -a | grep -o -e '-*icanon' -e '-*echo '"
    screen = Screen(shell, "top", around=lambda command: ["/bin/sh", "-c", shlex.join(command) + then])
    screen.shows(FIRST)
    end(screen)
    screen.shows("code 143")
    text = screen.shows("icanon", "echo")
    assert "-icanon" not in text
    assert "-echo" not in text
    as_before(screen)
    screen.close()


def test_the_prompt_restores_it_too(shell: Shell) -> None:
    then = "; echo code $?; stty -a | grep -o -e '-*icanon' -e '-*echo '"
    screen = Screen(shell, around=lambda command: ["/bin/sh", "-c", shlex.join(command) + then])
    screen.shows("pycloud>")
    end(screen)
    screen.shows("code 143")
    assert "-icanon" not in screen.shows("icanon", "echo")
    screen.close()


def test_the_terminal_is_restored_after_a_bug(shell: Shell) -> None:
    program = (
        "import sys; import pycloud.shell.top.view as view, pycloud.shell.top.screen as screen\n"
        "def draw(*_): raise ZeroDivisionError('a bug')\n"
        "screen.draw = draw\n"
        "from pycloud.shell.main import main; sys.exit(main(['top']))"
    )
    then = "; echo code $?; stty -a | grep -o -e '-*icanon'"
    command = ["/bin/sh", "-c", shlex.join([sys.executable, "-c", program]) + then]
    screen = Screen(shell, around=lambda _command: command)
    text = screen.shows("ZeroDivisionError: a bug", "code 1", "icanon")
    assert "-icanon" not in text
    as_before(screen)
    screen.close()


def test_ux_16_redis_goes_and_comes_back(own_redis: RedisServer, shell: Shell) -> None:
    shell.env["PYCLOUD_REDIS_URL"] = own_redis.url
    screen = Screen(shell, "top", lines=24)
    screen.shows("Redis 127.0.0.1", " up ")
    own_redis.stop()
    screen.shows("DOWN", "cannot be reached")
    screen.type("s")
    own_redis.start()
    wait_until(lambda: "DOWN" not in screen.text, 20, lambda: screen.text)
    screen.shows("0 by state")
    screen.type("q")
    assert screen.ends() == 0


def test_at_the_prompt(shell: Shell, screen: Screen) -> None:
    shell.obedient.add(session=FIRST)
    screen.type(f"top --sort host{ENTER}")
    screen.shows(FIRST, "1 by host")
    screen.type("q")
    screen.asks()
    screen.type(f"list{ENTER}")
    screen.shows(FIRST)
    screen.asks()


@pytest.mark.parametrize("term", ["screen", "tmux-256color", "vt100"])
def test_on_other_terminals_without_colours(shell: Shell, term: str) -> None:
    shell.env |= {"TERM": term, "NO_COLOR": "1"}
    shell.obedient.add(session=FIRST)
    screen = Screen(shell, "top", lines=24)
    screen.shows(FIRST, "1 by created")
    screen.type("q")
    assert screen.ends() == 0


def test_it_refuses_where_it_cannot_draw(shell: Shell) -> None:
    result = shell.run("top")
    assert (result.code, result.out) == (2, b"")
    assert "top needs a terminal" in result.err
    assert "list -o json" in shell.run("top", "-o", "json").err
    output, code = pexpect.run(
        shlex.join([*PYCLOUDCTL, "top"]), env={**shell.environ, "TERM": "dumb"}, withexitstatus=True
    )
    assert code == 2
    assert b"top needs a terminal that can move its cursor" in output


def test_many_sessions_and_pages(shell: Shell) -> None:
    with shell.node.redis.pipeline() as pipeline:
        for number in range(3000):
            session = f"{number:010d}cccccccccc"
            pipeline.zadd(shell.node.names.sessions_key, {session: number})
            record = {"cloud": "cccccccccc", "state": "running", "created": str(number)}
            pipeline.hset(shell.node.names.session_key(session), mapping=record)
        pipeline.execute()
    screen = Screen(shell, "top", lines=24)
    screen.shows("3,000 by created", "0000000000cccccccccc")
    screen.type("G")
    screen.shows("0000002999cccccccccc")
    screen.type("g" + PAGE_DOWN + PAGE_DOWN)
    screen.shows("0000000030cccccccccc")
    screen.close()
