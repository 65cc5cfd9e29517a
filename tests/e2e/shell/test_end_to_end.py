"""The real pycloudctl with the real daemon: what a newcomer types, from create to remove."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from pycloud.client import Client
from tests.support.daemon import ROOT, Daemon
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

PROGRAM = ROOT / "bin" / "pycloudctl"


@pytest.fixture(scope="module")
def daemon(each_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A cloud on each kind of server."""
    with Daemon(tmp_path_factory.mktemp("cloud"), each_redis.url, stop_grace=2) as daemon:
        yield daemon


@pytest.fixture
def env(daemon: Daemon, each_redis: RedisServer, tmp_path: Path) -> dict[str, str]:
    """A user's environment: Redis is named there."""
    return {
        **os.environ,
        "PYCLOUD_REDIS_URL": each_redis.url,
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }


@pytest.fixture
def ctl(env: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs pycloudctl."""

    def run(*words: str, script: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PROGRAM), *words]
        return subprocess.run(command, env=env, input=script or "", capture_output=True, text=True, timeout=60)

    return run


def test_one_shot(daemon: Daemon, ctl: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    script = tmp_path / "script.txt"
    script.write_text("echo $GREETING; exec sleep 1000\n")
    created = ctl("create", str(script), "-e", "GREETING=hello you", "-o", "json")
    assert created.returncode == 0, created.stderr
    answer = json.loads(created.stdout)
    session = answer["id"]
    assert answer["cloud"] == daemon.cloud
    assert session in daemon.sessions()

    assert ctl("status", session[:12]).returncode == 0
    assert session in ctl("list").stdout
    assert ctl("list", "-o", "ids").stdout.split().count(session) == 1
    wait_until(lambda: ctl("logs", session).stdout == "hello you\n")

    assert ctl("remove", session).returncode == 0
    assert session not in daemon.sessions()
    assert ctl("status", session).returncode == 3
    assert ctl("remove", session).returncode == 3


def test_a_repeated_id(daemon: Daemon, ctl: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    first, second = (ctl("create", "-", "--id", "mine", "-o", "json", script="exec sleep 1000") for _ in range(2))
    assert first.stdout == second.stdout
    other = ctl("create", "-", "--id", "mine", "-o", "json", script="something else")
    assert other.returncode == 4
    assert json.loads(other.stdout)["error"]["code"] == "id_conflict"
    assert ctl("remove", json.loads(first.stdout)["id"]).returncode == 0


def test_a_refused_create(ctl: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    refused = ctl("create", "-", script="#!/no/such/thing\n")
    assert refused.returncode == 4
    assert "/no/such/thing" in refused.stderr
    assert refused.stdout == ""


def test_the_prompt(daemon: Daemon, env: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "script.txt"
    script.write_text("exec sleep 1000\n")
    shell = pexpect.spawn(sys.executable, [str(PROGRAM)], env=env, dimensions=(24, 80), encoding="utf-8", timeout=30)
    try:
        shell.expect("pycloud>")
        shell.sendline(f"create {script}")
        shell.expect(r"([0-9a-f]{20})")
        assert shell.match is not None
        session = str(shell.match.group(1))
        shell.expect("pycloud>")
        assert session in daemon.sessions()
        shell.sendline(f"status {session}")
        shell.expect("running")
        shell.sendline(f"remove {session}")
        wait_until(lambda: session not in daemon.sessions())
        shell.sendline("exit")
        shell.expect(pexpect.EOF)
    finally:
        shell.close(force=True)
    assert shell.exitstatus == 0


def test_the_library(daemon: Daemon, each_redis: RedisServer) -> None:
    with Client(each_redis.url) as client:
        session = client.create("echo hi; exec sleep 1000", env={"A": "b"})
        assert client.status(session.id).status is True
        assert session.id in list(client.session_ids())
        assert [node.id for node in client.nodes()] == [daemon.cloud]
        wait_until(lambda: client.logs(session.id) == b"hi\n")
        assert client.remove(session.id).status is True
        assert client.status(session.id).status is False


def test_the_example_that_serves_http(daemon: Daemon, each_redis: RedisServer) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    def page(port: int) -> bytes:
        try:
            with urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
                return bytes(response.read())
        except URLError:
            return b""

    with Client(each_redis.url) as client:
        session = client.create((ROOT / "examples" / "http_server.py").read_text())
        assert session.port
        text = wait_until(lambda: page(session.port or 0))
        assert session.id.encode() in text
        client.remove(session.id)
