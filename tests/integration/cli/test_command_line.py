"""The daemon's command line as a user meets it in the foreground: usage, messages, exit codes, log, private Redis.

Detaching and what one does with a running daemon is in ``test_detaching``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import pycloud
from pycloud.config.identity import node_id
from pycloud.errors import ConfigError
from tests.support.daemon_command_line import ROOT, CommandLine, command_line, is_alive
from tests.support.folders import let_others_pass
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as made:
        yield made


@pytest.mark.parametrize("command", [["-m", "pycloud.app"], [str(ROOT / "bin" / "pycloud")]])
def test_version_from_everywhere(cli: CommandLine, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command, "--version"], env=cli.environ, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, f"pycloud {pycloud.__version__}\n")


def test_help_names_flags_and_defaults(cli: CommandLine) -> None:
    done = cli.run("--help", COLUMNS="200")
    assert done.returncode == 0
    for word in ("--daemon", "--stop", "--restart", "--status", "--check-config", "--version", "--config FILE"):
        assert word in done.stdout
    assert "(default: redis://localhost:6379/0; variable PYCLOUD_REDIS_URL)" in done.stdout


def test_check_config(cli: CommandLine, tmp_path: Path) -> None:
    done = cli.run("--check-config")
    assert (done.returncode, done.stdout) == (0, "configuration is ok (read: no file)\n")
    file = tmp_path / ".config" / "pycloud" / "pycloud.toml"
    file.parent.mkdir(parents=True)
    file.write_text("heartbeat = 2")
    assert cli.run("--check-config").stdout == f"configuration is ok (read: {file})\n"
    file.write_text("heartbaet = 2")
    done = cli.run("--check-config")
    assert done.returncode == 2
    assert done.stderr == f"pycloud: file {file}: unknown key heartbaet, did you mean heartbeat?\n"
    assert not cli.data.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heartbeat", "fast"], "flag --heartbeat: must be a number of seconds"),
        (["--hartbeat", "1"], "unknown argument --hartbeat, did you mean --heartbeat?"),
        (["--daemon", "--stop"], "not allowed with argument"),
        (["--config", "/nowhere.toml"], "flag --config: the file /nowhere.toml does not exist"),
        (["--runtime", "swarm"], "flag --runtime: must be auto, or some of script, docker, not 'swarm'"),
        (["--daemon", "--runtime", "auto,script"], "flag --runtime: must be auto, or some of script, docker"),
        (
            ["--redis", "redis://:secret@h?decode_responses=1"],
            "flag --redis: the option 'decode_responses' of the Redis",
        ),
        (["--check-config", "--redis", "redis://h?socket_timeout=abc"], "the option 'socket_timeout' of the Redis URL"),
        (["--redis", "redis://:secret@h/3"], "Redis pub/sub ignores database numbers"),
    ],
)
def test_wrong_usage_is_exit_code_2(cli: CommandLine, arguments: list[str], message: str) -> None:
    done = cli.run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "secret" not in done.stderr
    assert not cli.data.exists()


def test_nothing_that_blocks_is_loaded_before_patching(cli: CommandLine) -> None:
    assert cli.run(STAND_IN="refuse", REPORT=str(cli.report)).returncode == 1
    report = cli.reported()
    loaded = set(report["before"])  # type: ignore[call-overload]
    assert not loaded & {"gevent", "redis", "ssl", "socket", "subprocess", "asyncio", "logging", "docker", "psutil"}
    assert report["patched"] == {
        **dict.fromkeys(("socket", "time", "threading"), True),
        **dict.fromkeys(("subprocess", "os", "signal"), False),
    }


def test_foreground_until_a_signal(cli: CommandLine) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with cli.foreground(REPORT=str(cli.report)) as process:
            assert cli.pid_file.read_text() == f"{process.pid}\n"
            process.send_signal(number)
            assert process.wait(20) == 0
        assert cli.run("--status").returncode == 3
    assert cli.reported()["ppid"] == os.getpid()


def test_the_descriptor_limit_is_raised_and_the_old_one_handed_on(cli: CommandLine) -> None:
    command = ["sh", "-c", 'ulimit -Sn 200; ulimit -Hn 700; exec "$@"', "sh", *cli.command()]
    environ = cli.environ | {"STAND_IN": "refuse", "REPORT": str(cli.report)}
    subprocess.run(command, env=environ, stderr=subprocess.DEVNULL, timeout=60, check=False)
    report = cli.reported()
    assert (report["nofile"], report["limits"]) == (200, [700, 700])


@pytest.mark.usefixtures("root")
def test_root_is_warned_once(cli: CommandLine) -> None:
    assert cli.run(STAND_IN="refuse").stderr.count("running as root") == 1
    assert "running as root" not in cli.run("--run-as", "nobody", STAND_IN="refuse").stderr


def test_a_failure_in_the_foreground(cli: CommandLine) -> None:
    done = cli.run(STAND_IN="refuse")
    assert done.returncode == 1
    assert done.stderr.endswith("pycloud: Redis says no\n")


def test_a_data_directory_that_cannot_be_made(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for flags in ((), ("--daemon", "--log-file", str(tmp_path / "log"))):
        done = cli.run("--data-dir", str(tmp_path / "file" / "data"), *flags)
        assert done.returncode == 1
        assert done.stderr == f"pycloud: cannot create the directory {tmp_path}/file/data: Not a directory\n"
    done = cli.run("--daemon", "--log-file", str(tmp_path / "file" / "log"))
    assert done.returncode == 1
    assert "cannot write the log file" in done.stderr


def test_a_disk_that_is_full_from_the_start(cli: CommandLine, small_disk: Path) -> None:
    data = small_disk / "data"
    data.mkdir()
    with (small_disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    done = cli.run("--data-dir", str(data), "--run-dir", str(cli.data))
    assert done.returncode == 1
    assert done.stderr == f"pycloud: cannot write {data}/lock: No space left on device\n"


def test_an_id_that_is_no_text(cli: CommandLine, tmp_path: Path) -> None:
    cli.data.mkdir()
    (cli.data / "cloud-id").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ConfigError, match="does not contain a node id"):
        node_id(cli.data)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(cli: CommandLine, closed: str) -> None:
    environ = cli.environ | {"REPORT": str(cli.report)}
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *cli.command("--daemon")]
    assert subprocess.run(command, env=environ, timeout=60, check=False).returncode == 0
    fds = dict(cli.reported()["fds"])  # type: ignore[call-overload]
    log = str(cli.data / "pycloud.log")
    assert (fds["0"], fds["1"], fds["2"]) == ("/dev/null", log, log)
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *cli.command("--stop")]
    assert subprocess.run(command, env=environ, timeout=60, check=False).returncode == 0


@pytest.mark.usefixtures("root")
def test_another_user_is_told_that_he_may_not_look(cli: CommandLine, tmp_path: Path) -> None:
    let_others_pass(tmp_path)
    cli.start()
    # Once as root, which loads all that it needs: the other user may not even be able to read this Python.
    program = (
        "import contextlib, io, os, sys; from pycloud.app import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): main(['--status'])\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); sys.exit(main(sys.argv[1:]))\n"
    )
    for action, code in (("--status", 4), ("--stop", 1)):
        command = [sys.executable, "-c", program, action]
        done = subprocess.run(command, env=cli.environ, capture_output=True, text=True, timeout=60, check=False)
        said = f"pycloud: may not read {cli.pid_file}: it belongs to another user (try sudo)\n"
        assert (done.returncode, done.stderr) == (code, said)
    assert cli.run("--status").returncode == 0
    assert cli.run("--stop").returncode == 0


def test_a_log_that_is_moved_away_is_opened_anew(cli: CommandLine, tmp_path: Path) -> None:
    program = (
        "import logging, sys; from pathlib import Path; from pycloud.cli import logging_setup as logs\n"
        "file = Path(sys.argv[1]); handler = logs.set_up('info', file)\n"
        "logging.info('one'); logging.debug('never'); file.rename(file.with_suffix('.old'))\n"
        "logging.info('two'); handler.close()\n"
    )
    log = tmp_path / "logs" / "a.log"
    subprocess.run([sys.executable, "-c", program, str(log)], env=cli.environ, check=True, timeout=60)
    assert log.with_suffix(".old").read_text().split()[2:] == ["INFO", "one"]
    assert log.read_text().split()[2:] == ["INFO", "two"]


def test_the_private_redis_lives_as_long_as_the_daemon(cli: CommandLine) -> None:
    with cli.foreground("--embedded-redis") as process:
        (server,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert not is_alive(server.pid)
    with cli.foreground("--embedded-redis") as process:
        (server,) = psutil.Process(process.pid).children()
        process.kill()
        process.wait(20)
        wait_until(lambda: not is_alive(server.pid))


def test_a_taken_port_is_a_reason_not_to_start(cli: CommandLine) -> None:
    with RedisServer() as server:
        done = cli.run("--daemon", "--embedded-redis", PYCLOUD_REDIS_URL=server.url)
    assert done.returncode == 1
    assert "already: use it (without --embedded-redis)" in done.stderr
