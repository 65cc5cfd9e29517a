"""pycloudctl where things go wrong half-way: several sessions, a lost Redis, an early Ctrl-C, a full disk."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pycloud.protocol.keys import Keys
from tests.support.fake_node import FakeCloud, Fields, Heard, Reply, silent
from tests.support.pycloudctl import PYCLOUDCTL, ROOT, TIMEOUT, Shell
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

FIRST, SECOND = "0000000001dddddddddd", "0000000002dddddddddd"
CODES = ("owner_away", "no_capacity", "no_match", "remove_failed", "disk_full")


@contextmanager
def other_node(shell: Shell, reply: Reply) -> Iterator[FakeCloud]:
    """A node that answers as a test wants it to, and is alone in its namespace."""
    names = Keys(shell.node.names.namespace + ".other")
    with FakeCloud(shell.url, reply, cloud="dddddddddd", names=names) as node:
        shell.env["PYCLOUD_NAMESPACE"] = names.namespace
        yield node


def deaf_to_the_first(heard: Heard, before: int) -> Fields | None:
    session = heard.fields["session"]
    return None if session == FIRST else {"cloud": "dddddddddd", "id": session, "status": True, "state": "running"}


@pytest.mark.parametrize("op", ["status", "remove"])
def test_one_that_is_not_answered_holds_up_no_other(shell: Shell, op: str) -> None:
    with other_node(shell, deaf_to_the_first):
        confirmation = ["--yes"] if op == "remove" else []
        result = shell.run(op, FIRST, SECOND, "ff", "--timeout", "1.5", *confirmation)

    assert result.code == 124
    assert f"{FIRST}: no response to request" in result.err
    assert "no session ff" in result.err
    assert SECOND in result.out.decode()


@pytest.mark.parametrize("op", ["create", "status", "remove"])
def test_a_request_that_nobody_answered_is_published_again(shell: Shell, op: str) -> None:
    def deaf_to_the_first_time(_heard: Heard, before: int) -> Fields | None:
        return {"cloud": "dddddddddd", "id": SECOND, "status": True, "state": "running"} if before else None

    with other_node(shell, deaf_to_the_first_time) as node:
        result = shell.run(op, "-" if op == "create" else SECOND, stdin=b"sleep 60")

    assert result.code == 0
    assert len(node.heard) == 2
    assert len({(heard.op, heard.fields["id"]) for heard in node.heard}) == 1


def test_without_a_cloud_each_session_is_named(shell: Shell) -> None:
    shell.node.retire()
    result = shell.run("remove", FIRST, SECOND, "-y")

    assert result.code == 124
    for session in (FIRST, SECOND):
        assert f"{session}: no node is online" in result.err


def test_a_remove_can_be_repeated(shell: Shell) -> None:
    with other_node(shell, silent) as node:
        result = shell.run("remove", FIRST, "--timeout", "0.5")
        shell.run("remove", FIRST, "--timeout", "0.5", "--id", "mine")

    assert result.code == 124
    assert "stop_grace" in result.err
    assert f"a longer timeout may help. To repeat the request safely, use --id {node.heard[0].fields['id']}\n" in (
        result.err
    )
    assert result.err.count("To repeat the request safely") == 1
    assert node.heard[-1].fields["id"] == "mine"


def test_a_session_named_twice_counts_once(shell: Shell) -> None:
    session = shell.obedient.add()
    result = shell.run("remove", session, session[:8], session)

    assert (result.code, result.lines, result.err) == (0, [f"{session} removed"], "")


@pytest.mark.parametrize("code", CODES)
def test_every_refusal_ends_with_4(shell: Shell, code: str) -> None:
    def refuse(heard: Heard, before: int) -> Fields:
        return {"cloud": "dddddddddd", "id": FIRST, "status": False, "error": {"code": code, "message": "not now"}}

    with other_node(shell, refuse):
        result = shell.run("remove", FIRST)

    assert (result.code, result.out) == (4, b"")
    assert f"{FIRST}: not now ({code})" in result.err


def test_wishes_for_a_cloud(shell: Shell) -> None:
    words = ("--where", "zone=eu", "--where", "disk=fast", "--cloud", "cccccccccc")
    assert shell.run("create", "-", *words, stdin=b"x").code == 0
    fields = shell.node.heard[0].fields
    assert (fields["where"], fields["cloud"]) == ({"zone": "eu", "disk": "fast"}, "cccccccccc")


def test_a_script_that_no_cloud_can_take(shell: Shell) -> None:
    result = shell.run("create", "/dev/zero")

    assert result.code == 4
    assert "(script_too_large)" in result.err
    assert shell.run("create", "-", stdin=b"x" * ((16 << 20) + 1)).code == 4
    assert not shell.node.heard


def test_redis_lost_on_the_way(own_redis: RedisServer, shell: Shell) -> None:
    with FakeCloud(own_redis.url, silent, names=shell.node.names) as node:
        shell.env["PYCLOUD_REDIS_URL"] = own_redis.url
        with shell.start("create", "-", "--timeout", "3") as process:
            assert process.stdin is not None
            process.stdin.write(b"x")
            process.stdin.close()
            process.stdin = None
            wait_until(lambda: node.heard)
            own_redis.stop()
            _, err = process.communicate(timeout=TIMEOUT)

    assert process.returncode == 69
    assert f"may still be carried out. To repeat the request safely, use --id {node.heard[0].fields['id']}" in (
        err.decode()
    )


@pytest.mark.parametrize("program", [[str(ROOT / "bin" / "pycloudctl")], ["-m", "pycloud.shell"]])
def test_ctrl_c_while_it_loads(shell: Shell, tmp_path: Path, program: list[str]) -> None:
    marker = tmp_path / "loading"
    (tmp_path / "msgspec.py").write_text(f"import time\nopen({str(marker)!r}, 'w').close()\ntime.sleep(600)\n")
    shell.env["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, *program, "list"], env=shell.environ, stdout=pipe, stderr=pipe) as process:
        wait_until(marker.exists, TIMEOUT)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("status", "0123456789cccccccccc"), 3),
        (("status", "ff"), 3),
        (("create", "/no/such/file"), 1),
        (("craete",), 2),
        (("list", "--redis", "redis://127.0.0.1:1"), 69),
        (("logs", FIRST), 124),
        (("list",), 0),
    ],
)
def test_a_full_disk_below_stderr_changes_no_code(shell: Shell, words: tuple[str, ...], code: int) -> None:
    command = f"exec {shlex.join([*PYCLOUDCTL, *words])} 2>/dev/full"

    assert subprocess.run(["/bin/sh", "-c", command], env=shell.environ, timeout=TIMEOUT).returncode == code


def test_help_knows_the_code_of_a_closed_pipe(shell: Shell) -> None:
    assert "141 output closed" in shell.run("help").out.decode()
