"""pycloudctl on a terminal: what stands on the screen, as a terminal would draw it."""

from __future__ import annotations

import re
import shlex
import stat
from pathlib import Path

import pexpect
import pytest

from tests.support.fake_node import FakeCloud, silent
from tests.support.pycloudctl import PYCLOUDCTL, Shell
from tests.support.redis_server import RedisServer
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, TAB, UP, Screen
from tests.support.waiting import wait_until


def test_the_same_commands_as_elsewhere(shell: Shell, screen: Screen, tmp_path: Path) -> None:
    script = tmp_path / "hello.sh"
    script.write_text("sleep 60")

    screen.type(f"create {script}{ENTER}")
    screen.shows("SESSION", "running", "started in", "Next: status ")
    session = next(iter(shell.obedient.sessions))
    screen.type(f"status {session[:8]}{ENTER}")
    screen.asks()
    screen.type(f"remove {session[:8]}{ENTER}")
    screen.shows(f"{session} removed")
    screen.type(f"list{ENTER}")
    screen.shows("No sessions. Next: create FILE")


def test_ux_15_removing_several_asks_here_too(shell: Shell, screen: Screen) -> None:
    sessions = {shell.obedient.add(), shell.obedient.add()}

    screen.type(f"remove --all{ENTER}")
    screen.shows("Remove 2 sessions? [y/N]")
    screen.type(f"n{ENTER}")
    screen.shows("Nothing was removed.")
    screen.asks()
    assert set(shell.obedient.sessions) == sessions
    screen.type(f"remove --all --yes{ENTER}")
    screen.shows("Removed 2 of 2 sessions.")
    assert not shell.obedient.sessions


@pytest.mark.parametrize("farewell", [f"exit{ENTER}", CTRL_D])
def test_leaving(screen: Screen, farewell: str) -> None:
    screen.type(farewell)

    assert screen.ends() == 0


def test_help_reads_as_elsewhere(shell: Shell, screen: Screen) -> None:
    screen.type(f"help status{ENTER}")
    text = screen.shows("usage: status", "Exits with 0 if all given sessions are")
    screen.type(f"help{ENTER}")

    assert "--redis" not in text
    screen.shows("start a script as a session", "leave the prompt, as Ctrl-D does", "130 Ctrl-C")


def test_errors_end_nothing(screen: Screen) -> None:
    for line, said in (
        ("craete x", "did you mean create?"),
        ("create /does/not/exist", "No such file"),
        ("status 'abc", "quotation"),
        ("status ff", "there is no session ff"),
        ("list --nonsense", "there is no flag --nonsense"),
        ("status --help", "usage: status"),
    ):
        screen.type(line + ENTER)
        screen.shows(said)
        screen.asks()


def test_a_lost_redis_ends_nothing(own_redis: RedisServer, shell: Shell) -> None:
    shell.env["PYCLOUD_REDIS_URL"] = own_redis.url
    screen = Screen(shell)
    screen.asks()
    own_redis.stop()
    screen.type(f"list{ENTER}")
    screen.shows("cannot be reached")
    screen.asks()
    own_redis.start()
    screen.type(f"list{ENTER}")
    screen.shows("No sessions.")
    screen.close()


def test_ux_14_ctrl_c_clears_the_line(screen: Screen) -> None:
    screen.type("remove everyth")
    screen.shows("remove everyth")
    screen.type(CTRL_C)
    screen.asks()
    screen.type(f"list{ENTER}")
    screen.shows("No sessions.")


def test_ctrl_c_stops_waiting(shared_redis: RedisServer, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("x")
    with FakeCloud(shared_redis.url, silent, cloud="dddddddddd") as node:
        shell.env["PYCLOUD_NAMESPACE"] = node.names.namespace
        screen = Screen(shell, "--timeout", "60")
        screen.asks()
        screen.type(f"create {tmp_path}/script{ENTER}")
        wait_until(lambda: node.heard, 20)
        screen.type(CTRL_C)
        screen.shows("may still be carried out", f"--id {node.heard[0].fields['id'][:8]}")
        screen.asks()
        screen.type(f"exit{ENTER}")
        assert screen.ends() == 0
        screen.close()


def test_the_names_of_commands_are_completed(screen: Screen) -> None:
    screen.type("rmv")
    screen.shows("remove", "end sessions and delete")
    screen.type(TAB)
    screen.shows("pycloud> remove")


def test_what_was_typed_comes_back_next_time(shell: Shell, screen: Screen) -> None:
    screen.type(f"status ff{ENTER}")
    screen.shows("there is no session ff")
    screen.asks()
    screen.type(CTRL_D)
    assert screen.ends() == 0

    file = shell.home / ".local/state/pycloud/pycloudctl_history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "status ff" in file.read_text()
    again = Screen(shell)
    again.asks()
    again.type(UP)
    again.shows("pycloud> status ff")
    again.close()


def test_home_is_expanded(shell: Shell, screen: Screen) -> None:
    (shell.home / "my script").write_text("sleep 60")
    screen.type(f"create '~/my script'{ENTER}")
    screen.shows("Next: status ")
    screen.type(f"create ~nobody-of-that-name/x{ENTER}")
    screen.shows("no such home directory")


def test_a_history_that_cannot_be_written_any_more(shell: Shell, screen: Screen) -> None:
    file = shell.home / ".local/state/pycloud/pycloudctl_history"
    file.unlink()
    file.mkdir()
    for word in ("ff", "ee"):
        screen.type(f"status {word}{ENTER}")
        screen.shows(f"there is no session {word}")
        screen.asks()
    assert screen.text.count("is not saved") == 1
    screen.type(UP + UP)
    screen.shows("pycloud> status ff")


def test_ux_07_a_secret_is_not_kept(shell: Shell, screen: Screen) -> None:
    screen.type(f"create /no/such/file -e PASSWORD=sesame{ENTER}")
    screen.shows("No such file")
    screen.asks()
    screen.type(CTRL_D)
    assert screen.ends() == 0
    assert "sesame" not in (shell.home / ".local/state/pycloud/pycloudctl_history").read_text()


def test_a_script_may_be_typed(shell: Shell, screen: Screen) -> None:
    screen.type(f"create -{ENTER}")
    screen.shows("then press Ctrl-D on a line of its own")
    screen.type(f"sleep 60{ENTER}{CTRL_D}")
    screen.shows("Next: status ")
    screen.asks()

    assert shell.node.heard[0].fields["script"] == "sleep 60\n"


def test_colours_on_a_terminal_only_where_wanted(shell: Shell) -> None:
    shell.obedient.add()

    def colours(**env: str) -> bool:
        output = pexpect.run(shlex.join([*PYCLOUDCTL, "list"]), env={**shell.environ, **env})
        assert b"running" in output
        return b"\x1b[" in output

    assert colours()
    assert not colours(NO_COLOR="1")
    assert not colours(TERM="dumb")


def test_a_success_on_a_terminal_says_what_to_type_next(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("x")
    output = pexpect.run(
        shlex.join([*PYCLOUDCTL, "create", str(tmp_path / "script")]), env=shell.environ, encoding="utf-8"
    )

    session = next(iter(shell.obedient.sessions))
    assert f"Session {session[:8]} runs on here:4000, started in " in output
    assert f"Next: pycloudctl status {session[:8]}" in output


def test_a_prompt_needs_a_terminal_to_draw_on(shell: Shell) -> None:
    output, code = pexpect.run(
        shlex.join(["/bin/sh", "-c", f"{shlex.join(PYCLOUDCTL)} | cat; exit 7"]), env=shell.environ, withexitstatus=True
    )

    assert b"needs a terminal" in output
    assert code == 7


def test_a_dumb_terminal_still_takes_lines(shell: Shell) -> None:
    shell.env["TERM"] = "dumb"
    screen = Screen(shell)
    screen.shows("pycloud>")
    screen.type(f"list{ENTER}")
    screen.shows("No sessions. Next: create FILE")
    screen.type(f"create{ENTER}")
    screen.shows("create needs a script: type `create FILE`")
    screen.type(f"create -{ENTER}")
    screen.shows("then press Ctrl-D on a line of its own")
    screen.type(f"sleep 60{ENTER}{CTRL_D}")
    screen.shows("Next: status ")
    screen.asks()
    screen.type("half a line")
    screen.shows("pycloud> half a line")
    screen.type(CTRL_C)
    screen.asks()
    screen.type(CTRL_D)
    assert screen.ends() == 0
    assert "\x1b" not in screen.raw


@pytest.mark.parametrize("term", ["screen", "tmux-256color", "vt100"])
def test_other_terminals_without_colours(shell: Shell, term: str) -> None:
    shell.env |= {"TERM": term, "NO_COLOR": "1"}
    shell.obedient.add()
    screen = Screen(shell, lines=24)
    screen.asks()
    screen.type("rmv")
    screen.shows("end sessions and delete")
    screen.type(TAB)
    screen.shows("pycloud> remove")
    screen.type(CTRL_C)
    screen.asks()
    screen.type(f"list{ENTER}")
    screen.shows("running")
    screen.asks()
    colours = re.findall(r"\x1b\[[\d;]*(?:3[0-8]|4[0-8]|9[0-7])[\d;]*m", screen.raw)
    assert colours == []
    screen.close()
