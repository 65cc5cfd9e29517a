"""What docs/pycloudctl.md promises, one test for each number there: what shows without a prompt.

Each looks at the whole of its promise from outside, with the real program; the corners are tried elsewhere.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from pycloud.shell.dispatch.parser import Grammar
from pycloud.shell.dispatch.shell_completion import SHELLS
from pycloud.shell.dispatch.table import COMMANDS
from pycloud.shell.terminal.exit_codes import ExitCode
from tests.support.daemon import Daemon
from tests.support.fake_node import FakeCloud, silent
from tests.support.ports import free_port
from tests.support.pycloudctl import Shell
from tests.support.redis_server import RedisServer
from tests.support.terminal import Screen
from tests.support.waiting import wait_until

UNKNOWN = "0123456789cccccccccc"
ESCAPE = b"\x1b"


def test_ux_01_one_table_serves_one_shot_prompt_help_and_completion(shell: Shell) -> None:
    typed = [row for row in COMMANDS if not row.prompt_only]
    one_shot, prompt = Grammar(interactive=False), Grammar(interactive=True)
    scripts = {name: shell.run("completion", name).out.decode() for name in SHELLS}

    assert [*prompt.commands.values()] == list(COMMANDS)
    assert [*one_shot.commands.values()] == typed
    for row in typed:
        told = [
            grammar.help_text(row.name).partition("\n\n")[2].partition("common flags:")[0]
            for grammar in (one_shot, prompt)
        ]
        assert row.summary[1:] in " ".join(told[0].split())
        assert told[0] == told[1]
        assert all(row.name in script for script in scripts.values())


def test_ux_03_a_success_names_session_place_time_and_the_next_command(shell: Shell, tmp_path: Path) -> None:
    script = tmp_path / "hello.sh"
    script.write_text("sleep 60")
    screen = Screen(shell, "create", str(script), columns=120)

    assert screen.ends() == ExitCode.DONE
    session = next(iter(shell.obedient.sessions))
    for said in (session, "here:4000", "started in", f"Next: pycloudctl status {session[:8]}"):
        assert said in screen.text


def test_ux_05_a_unique_beginning_is_enough_and_an_ambiguous_one_lists_the_candidates(shell: Shell) -> None:
    first = shell.obedient.add(session="aabb000001cccccccccc")
    second = shell.obedient.add(session="aabb000002cccccccccc")

    assert shell.run("status", "aabb000002", "-o", "ids").lines == [second]
    ambiguous = shell.run("status", "aa")
    assert (ambiguous.code, ambiguous.out) == (ExitCode.USAGE, b"")
    assert {first, second} <= set(ambiguous.err.split())


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("statsu",), "status"),
        (("list", "--stat", "running"), "--state"),
        (("help", "ndoes"), "nodes"),
        (("list", "--sort", "hots"), "host"),
    ],
)
def test_ux_06_a_typo_gets_did_you_mean(shell: Shell, words: tuple[str, ...], meant: str) -> None:
    result = shell.run(*words)

    assert (result.code, result.out) == (ExitCode.USAGE, b"")
    assert f"did you mean {meant}?" in result.err


def test_ux_10_data_on_stdout_in_three_forms_and_all_else_on_stderr(shell: Shell) -> None:
    session = shell.obedient.add()
    table, rows, ids = (shell.run("list", "-o", form) for form in ("table", "json", "ids"))

    assert table.lines[0].split()[:2] == ["SESSION", "STATE"]
    assert table.lines[1].split()[:2] == [session, "running"]
    row = json.loads(rows.lines[0])
    known = {"cloud": "cccccccccc", "id": session, "status": True, "state": "running", "port": 4000}
    assert known.items() <= row.items()
    assert ids.lines == [session]
    missing = shell.run("status", UNKNOWN, "ff", "-o", "ids")
    assert missing.out == b""
    assert "ff" in missing.err


def test_ux_11_piped_there_is_no_colour_no_spinner_and_no_prompt(shell: Shell, tmp_path: Path) -> None:
    script = tmp_path / "hello.sh"
    script.write_text("sleep 60")
    results = [
        shell.run("create", str(script)),
        shell.run("create", str(script), "--count", "3"),
        shell.run("list"),
        shell.run(stdin=b"list\n"),
    ]

    assert all(ESCAPE not in result.out and "\x1b" not in result.err and "\r" not in result.err for result in results)
    assert all("pycloud>" not in result.out.decode() + result.err for result in results)
    assert [result.code for result in results] == [ExitCode.DONE] * 4


@pytest.mark.parametrize(
    ("flags", "env"), [((), {"NO_COLOR": "1"}), (("--no-color",), {}), ((), {"TERM": "dumb"}), ((), None)]
)
def test_ux_11_colour_is_for_terminals_where_nobody_said_no(
    shell: Shell, flags: tuple[str, ...], env: dict[str, str] | None
) -> None:
    shell.env.update(env or {})
    shell.obedient.add()
    screen = Screen(shell, "list", *flags)

    assert screen.ends() == ExitCode.DONE
    assert "running" in screen.text
    assert screen.coloured("running") == (env is None)


def test_ux_12_exit_codes(shell: Shell, shared_redis: RedisServer) -> None:
    session = shell.obedient.add()
    nowhere = f"redis://127.0.0.1:{free_port()}"

    assert shell.run("status", session).code == 0
    assert shell.run("create", "/does/not/exist").code == 1
    assert shell.run("status").code == 2
    assert shell.run("status", UNKNOWN).code == 3
    assert shell.run("create", "-", stdin=b"refuse").code == 4
    assert shell.run("list", "--redis", nowhere).code == 69
    with FakeCloud(shared_redis.url, silent, cloud="dddddddddd") as node:
        shell.env["PYCLOUD_NAMESPACE"] = node.names.namespace
        assert shell.run("create", "-", "--timeout", "0.3", stdin=b"x").code == 124


def test_ux_13_every_wait_has_a_timeout(shared_redis: RedisServer, shell: Shell) -> None:
    waiting = [row.name for row in COMMANDS if not row.prompt_only]
    assert all("--timeout" in Grammar(interactive=False).help_text(name) for name in waiting)
    with FakeCloud(shared_redis.url, silent, cloud="dddddddddd") as node:
        shell.env["PYCLOUD_NAMESPACE"] = node.names.namespace
        session = "0123456789dddddddddd"
        for words in (("status", session), ("remove", session), ("logs", session), ("wait", session)):
            assert shell.run(*words, "--timeout", "0.3").code == ExitCode.NO_ANSWER, words


def test_ux_13_no_cloud_is_said_at_once_with_causes_and_the_flag_to_change(shell: Shell) -> None:
    shell.node.retire()
    result = shell.run("create", "-", "--timeout", "3600", stdin=b"x")

    assert result.code == ExitCode.NO_ANSWER
    for said in ("no node is online", "Check that pycloud is running", "--redis", "--namespace"):
        assert said in result.err


def test_ux_14_ctrl_c_stops_waiting_and_never_the_session(shared_redis: RedisServer, shell: Shell) -> None:
    with FakeCloud(shared_redis.url, silent, cloud="dddddddddd") as node:
        shell.env["PYCLOUD_NAMESPACE"] = node.names.namespace
        with shell.start("create", "-", "--timeout", "60") as process:
            assert process.stdin is not None
            process.stdin.write(b"x")
            process.stdin.close()
            process.stdin = None
            wait_until(lambda: node.heard)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert {heard.op for heard in node.heard} == {"create"}  # nothing was asked to be ended

    assert process.returncode == ExitCode.INTERRUPTED
    assert b"may still be carried out" in err


def test_ux_15_destroying_more_than_one_asks(shell: Shell) -> None:
    sessions = {shell.obedient.add() for _ in range(3)}

    piped = shell.run("remove", "--all")
    assert piped.code != ExitCode.DONE
    assert "--yes" in piped.err
    assert set(shell.obedient.sessions) == sessions
    screen = Screen(shell, "remove", "--all")
    screen.shows("3 sessions", "[y/N]")
    screen.type("n\r")
    assert screen.ends() != ExitCode.DONE
    assert set(shell.obedient.sessions) == sessions
    assert shell.run("remove", "--all", "--yes").code == ExitCode.DONE
    assert not shell.obedient.sessions


def test_ux_16_following_survives_a_restart_of_redis(own_redis: RedisServer, shell: Shell, tmp_path: Path) -> None:
    """Logs and events; ``top`` is tried on its screen."""
    shell.env.update(PYCLOUD_REDIS_URL=own_redis.url, PYCLOUD_NAMESPACE="")
    go = tmp_path / "go"
    with Daemon(tmp_path / "cloud", own_redis.url):
        script = f"echo before; until [ -e {go} ]; do sleep 0.05; done; echo after"
        session = shell.run("create", "-", "-o", "ids", stdin=script.encode()).lines[0]
        logs, events = shell.start("logs", "-f", session), shell.start("events", "-f", "-n", "1", "-o", "json")
        with logs, events:
            assert logs.stdout is not None
            assert events.stdout is not None
            assert logs.stdout.readline() == b"before\n"
            assert events.stdout.readline()
            own_redis.restart(keep_data=False)
            wait_until(lambda: shell.run("status", session).code == 0, 30)
            go.touch()
            assert logs.stdout.read() == b"after\n"
            told = iter(events.stdout.readline, b"")
            assert any(json.loads(line)["event"] == "session.exited" for line in told)
            events.send_signal(signal.SIGINT)
            logs.communicate(timeout=30), events.communicate(timeout=30)
    assert logs.returncode == ExitCode.DONE


def test_ux_17_doctor_says_what_to_do(own_redis: RedisServer, shell: Shell, tmp_path: Path) -> None:
    shell.env.update(PYCLOUD_REDIS_URL=own_redis.url, PYCLOUD_NAMESPACE="")
    sick = shell.run("doctor")
    assert sick.code == ExitCode.FAILED
    assert "to do: " in sick.out.decode()
    with Daemon(tmp_path / "cloud", own_redis.url):
        well = shell.run("doctor")
    assert well.code == ExitCode.DONE
    for topic in ("settings", "Redis 7", "round trip", "has all permissions", "1 of 1 known nodes online"):
        assert topic in well.out.decode(), topic


def test_ux_18_scripts_for_three_shells_and_a_manual_page(shell: Shell) -> None:
    for name in SHELLS:
        assert "pycloudctl" in shell.run("completion", name).out.decode()
    assert shell.run("man").out.startswith(b".TH PYCLOUDCTL 1")
