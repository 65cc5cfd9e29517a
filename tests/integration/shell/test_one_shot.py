"""pycloudctl with one command: what it prints where, and the code it ends with."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

import pycloud
from tests.support.fake_node import FakeCloud, silent
from tests.support.ports import free_port
from tests.support.pycloudctl import PYCLOUDCTL, TIMEOUT, Shell
from tests.support.redis_server import RedisServer

UNKNOWN = "0123456789cccccccccc"


def test_version(shell: Shell) -> None:
    assert shell.run("--version").out.decode() == f"pycloudctl {pycloud.__version__}\n"


@pytest.mark.parametrize("words", [("help",), ("--help",), ("-h",)])
def test_help_names_every_command_and_code(shell: Shell, words: tuple[str, ...]) -> None:
    result = shell.run(*words)

    assert result.code == 0
    text = result.out.decode()
    for word in (
        "create",
        "status",
        "remove",
        "list",
        "logs",
        "help",
        "--redis",
        "--timeout",
        "124 no response in time",
    ):
        assert word in text
    assert max(map(len, result.lines)) <= 80


def test_help_of_a_command_is_the_same_both_ways(shell: Shell) -> None:
    assert shell.run("help", "create").out == shell.run("create", "--help").out


def test_a_session_from_a_file_to_its_end(shell: Shell, tmp_path: Path) -> None:
    script = tmp_path / "hello.sh"
    script.write_text("#!/bin/sh\necho gr\u00fc\u00df dich\n")

    created = shell.run("create", str(script), "-e", "A=1", "-e", "B=x=y", "-o", "ids")
    assert created.code == 0
    session = created.lines[0]
    assert shell.node.heard[0].fields["env"] == {"A": "1", "B": "x=y"}
    assert shell.node.heard[0].fields["script"] == script.read_text()

    status = shell.run("status", session)
    assert (status.code, status.lines[0].split()) == (0, ["SESSION", "STATE", "ADDRESS"])
    assert status.lines[1].split() == [session, "running", "here:4000"]

    assert shell.run("remove", session).lines == [f"{session} removed"]
    assert shell.run("status", session).code == 3
    again = shell.run("remove", session)
    assert (again.code, again.out) == (3, b"")
    assert "no session" in again.err


def test_a_script_from_standard_input(shell: Shell) -> None:
    assert shell.run("create", "-", stdin=b"sleep 60").code == 0
    assert shell.node.heard[0].fields["script"] == "sleep 60"


def test_the_id_of_a_request_can_be_given(shell: Shell) -> None:
    shell.run("create", "-", "--id", "again-1", stdin=b"x")

    assert shell.node.heard[0].fields["id"] == "again-1"


def test_json_is_the_answer_as_it_came(shell: Shell) -> None:
    result = shell.run("create", "-", "-o", "json", stdin=b"x")

    assert result.out == json.dumps(json.loads(result.out)).encode() + b"\n"  # spaced as the cloud spaced it
    assert json.loads(result.out)["id"] in shell.obedient.sessions
    status = shell.run("-o", "json", "status", json.loads(result.out)["id"], UNKNOWN)
    assert [json.loads(line)["status"] for line in status.lines] == [True, False]
    assert status.code == 3


def test_a_refusal(shell: Shell) -> None:
    result = shell.run("create", "-", stdin=b"refuse")
    assert (result.code, result.out) == (4, b"")
    assert "no such interpreter (start_failed)" in result.err

    result = shell.run("create", "-", "-o", "json", stdin=b"refuse")
    assert result.code == 4
    assert json.loads(result.out)["error"]["code"] == "start_failed"


def test_list(shell: Shell) -> None:
    first, second = shell.obedient.add(), shell.obedient.add("exited", exit_code="3", reason="\x1b[2J bad")

    table = shell.run("list")
    assert [line.split()[:3] for line in table.lines[1:]] == [
        [first, "running", "here:4000"],
        [second, "exited", "here:4000"],
    ]
    assert "exit 3, ?[2J bad" in table.lines[2]
    assert b"\x1b" not in table.out
    assert shell.run("list", "-o", "ids").lines == [first, second]
    rows = [json.loads(line) for line in shell.run("list", "-o", "json").lines]
    assert [(row["id"], row["status"], row.get("exit_code")) for row in rows] == [
        (first, True, None),
        (second, False, 3),
    ]


def test_an_empty_list_is_fine(shell: Shell) -> None:
    assert shell.run("list").out == b""
    assert shell.run("list").code == 0


def test_logs_are_untouched(shell: Shell) -> None:
    shell.obedient.output = b"\x00\xff\r\n\x1b[31mred"
    session = shell.obedient.add()

    assert shell.run("logs", session[:6]).out == b"\x00\xff\r\n\x1b[31mred"
    missing = shell.run("logs", UNKNOWN)
    assert (missing.code, missing.out) == (3, b"")


def test_the_beginning_of_an_id_is_enough(shell: Shell) -> None:
    first = shell.obedient.add(session="aabb000001cccccccccc")
    second = shell.obedient.add(session="aabb000002cccccccccc")

    assert shell.run("status", "aabb000001", "-o", "ids").lines == [first]
    both = shell.run("remove", "aabb")
    assert (both.code, both.out) == (2, b"")
    assert first in both.err
    assert second in both.err
    assert shell.run("status", "ff").code == 3
    assert shell.run("remove", "").code == 3
    assert len(shell.obedient.sessions) == 2


def test_of_several_sessions_those_that_are_there_are_dealt_with(shell: Shell) -> None:
    session = shell.obedient.add()
    result = shell.run("remove", "ff", session, UNKNOWN, "--yes")

    assert (result.code, result.lines) == (3, [f"{session} removed"])
    assert not shell.obedient.sessions


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("craete", "x"), "did you mean create?"),
        (("exit",), "no command exit"),
        (("create",), "create -"),
        (("create", "-", "-e", "A"), "KEY=VALUE"),
        (("create", "-", "--id", ""), "request id"),
        (("status",), "SESSION"),
        (("list", "-o", "xml"), "table"),
        (("list", "--timeout", "0"), "seconds"),
        (("list", "--timeout", "inf"), "at most 86400"),
        (("list", "--tiemout", "5"), "did you mean --timeout?"),
        (("--tiemout", "5", "list"), "did you mean --timeout?"),
        (("-e", "A=1", "create", "x"), "write it after the command"),
        (("create", "-", "--cloud", ""), "not a node id"),
        (("remove", "1" * 20, "2" * 20, "--id", "r"), "one by one"),
        (("remove", "1" * 20, "2" * 20), "--yes"),
        (("remove",), "remove needs sessions"),
        (("remove", "aa", "--all"), "either sessions or a selection"),
        (("remove", "--label", "a"), "KEY=VALUE"),
        (("list", "--label", "a=1", "--label", "a=2"), "given twice"),
        (("help", "staus"), "did you mean status?"),
        (("list", "--state", "runing"), "(choose from 'starting', 'running', "),
        (("list", "--state", "runing"), "did you mean running?"),
        (("--redis", "nonsense", "list"), "flag --redis"),
        (("--redis", "redis://localhost?nonsense=1", "list"), "nonsense"),
        (("--config", "/does/not/exist", "list"), "/does/not/exist"),
    ],
)
def test_usage_problems_say_what_is_wrong(shell: Shell, words: tuple[str, ...], said: str) -> None:
    result = shell.run(*words)

    assert (result.code, result.out) == (2, b"")
    assert said in result.err
    assert result.err.startswith("pycloudctl: ")
    assert not shell.node.heard


def test_a_database_needs_a_namespace(shell: Shell) -> None:
    shell.env["PYCLOUD_NAMESPACE"] = ""

    assert shell.run("--redis", shell.url.removesuffix("0") + "3", "list").code == 2


def test_files_that_cannot_be_scripts(shell: Shell, tmp_path: Path) -> None:
    missing = shell.run("create", str(tmp_path / "missing"))
    assert missing.code == 1
    assert "missing: No such file" in missing.err
    assert shell.run("create", str(tmp_path)).code == 1
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    binary = shell.run("create", str(tmp_path / "binary"))
    assert binary.code == 2
    assert "UTF-8" in binary.err


def test_settings_come_from_flag_then_environment_then_file(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    file.write_text(f'redis = "{nowhere}"\nnamespace = "{shell.node.names.namespace}"\nrun_as = "root"\n')
    session = shell.obedient.add()

    assert shell.run("status", session, "--config", str(file)).code == 0
    assert shell.run("--redis", nowhere, "list").code == 69
    shell.env.update(PYCLOUD_REDIS_URL="", PYCLOUD_NAMESPACE="")
    assert shell.run("--config", str(file), "list").code == 69
    assert shell.run("status", session, "--config", str(file), "--redis", shell.url).code == 0
    assert shell.run("status", session, "--redis", shell.url, "--namespace", "other").code == 124


def test_no_answer(shared_redis: RedisServer, shell: Shell) -> None:
    with FakeCloud(shared_redis.url, silent, cloud="dddddddddd") as node:
        shell.env["PYCLOUD_NAMESPACE"] = node.names.namespace
        result = shell.run("create", "-", "--timeout", "0.5", stdin=b"x")

    assert result.code == 124
    assert f"--id {node.heard[0].fields['id']}" in result.err


def test_redis_away(shell: Shell) -> None:
    result = shell.run("list", "--redis", f"redis://:secret@127.0.0.1:{free_port()}")

    assert result.code == 69
    assert "cannot be reached" in result.err
    assert "secret" not in result.err


def test_redis_frozen(own_redis: RedisServer, shell: Shell) -> None:
    own_redis.freeze()
    result = shell.run("list", "--redis", own_redis.url, "--timeout", "1")
    own_redis.thaw()

    assert result.code == 69


def test_a_reader_that_goes_away_is_no_error(shell: Shell) -> None:
    with shell.node.redis.pipeline() as pipeline:
        for number in range(20_000):
            pipeline.zadd(shell.node.names.sessions_key, {f"{number:010x}cccccccccc": number})
        pipeline.execute()
    with shell.start("list", "-o", "ids") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, err) == (141, b"")


@pytest.mark.parametrize(("redirection", "code", "said"), [(">&-", 0, ""), ("2>&-", 0, ""), (">/dev/full", 1, "space")])
def test_streams_that_cannot_be_written(shell: Shell, redirection: str, code: int, said: str) -> None:
    shell.obedient.add()
    command = f"{shlex.join(PYCLOUDCTL)} list {redirection}"
    result = subprocess.run(["/bin/sh", "-c", command], env=shell.environ, capture_output=True, timeout=TIMEOUT)

    assert result.returncode == code
    assert said in result.stderr.decode()
    assert result.stderr.count(b"\n") == bool(said)
