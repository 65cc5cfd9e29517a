"""The examples that need no daemon to be shown to work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.support.ports import free_port
from tests.support.pycloudctl import ROOT, TIMEOUT, Shell
from tests.support.requirements import program
from tests.support.waiting import wait_until

EXAMPLES = ROOT / "examples"


def test_a_session_by_redis_cli_alone(shell: Shell) -> None:
    program("redis-cli")
    script = 'echo "a\\b"\n\techo done\n'
    env = {**os.environ, "REDIS_URL": shell.url, "NAMESPACE": shell.node.names.namespace}
    result = subprocess.run(
        [str(EXAMPLES / "redis-cli.sh"), script], env=env, capture_output=True, text=True, timeout=TIMEOUT
    )

    assert result.returncode == 0, result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["create", "status", "remove"]
    assert shell.node.heard[0].fields["script"] == script.rstrip("\n")
    assert not shell.obedient.sessions


def test_without_redis_cli_it_says_what_to_install(tmp_path: Path) -> None:
    result = subprocess.run(
        ["/bin/sh", str(EXAMPLES / "redis-cli.sh")], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )

    assert result.returncode == 1
    assert "apt install redis-tools" in result.stderr


def test_the_http_server_answers_and_ends(tmp_path: Path) -> None:
    port = free_port()
    names = {"PYCLOUD_SESSION": "s1", "PYCLOUD_HOSTNAME": "here.example", "PYCLOUD_PORT": str(port)}
    command = [sys.executable, str(EXAMPLES / "http_server.py")]
    log = (tmp_path / "log").open("wb")
    with log, subprocess.Popen(command, env={**os.environ, **names}, stdout=log, stderr=log) as process:
        wait_until(lambda: b"serving" in (tmp_path / "log").read_bytes())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=TIMEOUT) as page:
            assert b"session s1 on here.example" in page.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0


def test_hello_says_where_it_runs() -> None:
    names = {"PYCLOUD_SESSION": "s1", "PYCLOUD_HOSTNAME": "here.example", "PYCLOUD_PORT": "4000"}
    pipe = subprocess.PIPE
    with subprocess.Popen([str(EXAMPLES / "hello.sh")], env={**os.environ, **names}, stdout=pipe) as process:
        assert process.stdout is not None
        assert b"session s1 on here.example, port 4000" in process.stdout.readline()
        process.terminate()
