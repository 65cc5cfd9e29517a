"""``--daemon``, ``--stop``, ``--restart`` and ``--status``: readiness, pid file and locks, with real processes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon_command_line import CommandLine, await_nobody, command_line, is_alive, ours
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as made:
        yield made


def test_a_daemon_is_on_its_own(cli: CommandLine, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            cli.command("--daemon"),
            env=cli.environ | {"REPORT": str(cli.report)},
            capture_output=True,
            pass_fds=(writer,),
            timeout=60,
        )
        assert done.returncode == 0
        os.close(writer)
        assert os.read(reader, 1) == b""  # it holds no end of what it inherited
    finally:
        os.close(reader)
    report = cli.reported()
    pid = report["pid"]
    assert cli.pid_file.read_text() == f"{pid}\n"
    assert (cli.data / "lock").read_text() == f"{pid}\n"
    assert report["sid"] == report["pgid"] != pid  # a session of its own, which it does not lead
    assert (report["cwd"], report["umask"]) == ("/", 0o022)
    fds = dict(report["fds"])  # type: ignore[call-overload]
    log = str(cli.data / "pycloud.log")
    assert (fds.pop("0"), fds.pop("1"), fds.pop("2")) == ("/dev/null", log, log)
    paths = sorted(path for path in fds.values() if path.startswith("/") and not path.startswith("/proc/"))
    assert paths == sorted([str(cli.data / "lock"), str(cli.pid_file), str(cli.report), log])
    assert "said ready" in cli.log
    assert [process.pid for process in ours(cli)] == [pid]  # nobody in between is left, dead or alive
    assert cli.run("--stop").returncode == 0


def test_a_reason_comes_back_to_the_caller(cli: CommandLine) -> None:
    done = cli.run("--daemon", STAND_IN="refuse")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "pycloud: Redis says no\n")
    assert "pycloud: Redis says no" in cli.log
    await_nobody(cli)


@pytest.mark.parametrize("how", ["crash", "die"])
def test_a_silent_death_names_the_log(cli: CommandLine, how: str) -> None:
    done = cli.run("--daemon", STAND_IN=how)
    assert done.returncode == 1
    assert "ended before it was ready" in done.stderr
    assert str(cli.data / "pycloud.log") in done.stderr
    assert ("ZeroDivisionError: a bug" in cli.log) == (how == "crash")


def test_too_late_because_of_redis(cli: CommandLine) -> None:
    done = cli.run("--daemon", "--start-timeout", "1", STAND_IN="hang")
    assert done.returncode == 1
    assert "not ready within 1 s, so it was stopped; Redis at redis://127.0.0.1" in done.stderr
    assert "does not answer: " in done.stderr
    assert done.stderr.count("\n") == 1
    await_nobody(cli)


def test_too_late_though_redis_is_fine_or_frozen(cli: CommandLine) -> None:
    with RedisServer() as server:
        done = cli.run("--daemon", "--start-timeout", "1", STAND_IN="hang", PYCLOUD_REDIS_URL=server.url)
        assert "so it was stopped; Redis does answer; log: " in done.stderr
        server.freeze()
        done = cli.run("--daemon", "--start-timeout", "1", STAND_IN="hang", PYCLOUD_REDIS_URL=server.url)
        assert "does not answer: " in done.stderr
    await_nobody(cli)


def test_too_late_and_deaf_to_sigterm(cli: CommandLine) -> None:
    assert cli.run("--daemon", "--start-timeout", "1", STAND_IN="stubborn").returncode == 1
    await_nobody(cli)


def test_an_interrupted_start_leaves_no_daemon(cli: CommandLine) -> None:
    with subprocess.Popen(
        cli.command("--daemon"), env=cli.environ | {"STAND_IN": "hang"}, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: cli.pid_file.exists() and cli.pid_file.read_text(), message="no daemon came")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert process.stderr.read() == "pycloud: interrupted\n"
    await_nobody(cli)


def test_the_second_daemon_refuses_and_names_the_first(cli: CommandLine) -> None:
    pid = cli.start()
    for arguments in ((), ("--daemon",), ("--run-dir", str(cli.data / "elsewhere"))):
        done = cli.run(*arguments)
        assert done.returncode == 1
        assert done.stderr == f"pycloud: another pycloud (pid {pid}) uses the data directory {cli.data} already\n"
    done = cli.run("--data-dir", str(cli.data / "two"), "--run-dir", str(cli.data / "run"))
    assert done.returncode == 1
    assert done.stderr == f"pycloud: another pycloud (pid {pid}) holds the pid file {cli.pid_file} already\n"
    assert is_alive(pid)


def test_status_stop_restart(cli: CommandLine) -> None:
    nobody = f"pycloud is not running (pid file {cli.pid_file})\n"
    done = cli.run("--status")
    assert (done.returncode, done.stdout) == (3, nobody)
    done = cli.run("--stop")
    assert (done.returncode, done.stderr) == (1, nobody)

    assert cli.run("--restart").returncode == 0  # starts where there is nothing to stop
    first = int(cli.pid_file.read_text())
    done = cli.run("--status")
    assert (done.returncode, done.stdout) == (0, f"pycloud is running: pid {first}\n")

    assert cli.run("--restart").returncode == 0
    second = int(cli.pid_file.read_text())
    assert not is_alive(first)
    assert is_alive(second)

    done = cli.run("--stop")
    assert (done.returncode, done.stdout) == (0, f"pycloud has stopped (it was pid {second})\n")
    assert not is_alive(second)
    assert cli.pid_file.read_text() == ""


def test_a_foreground_daemon_is_stopped_too(cli: CommandLine) -> None:
    with cli.foreground() as process:
        assert cli.run("--stop").returncode == 0
        assert process.wait(20) == 0


def test_stop_waits_and_says_so(cli: CommandLine, tmp_path: Path) -> None:
    go = tmp_path / "go"
    pid = cli.start(STAND_IN="slow stop", GO=str(go))
    with subprocess.Popen(cli.command("--stop"), env=cli.environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"waiting for pid {pid} to stop...\n"
        assert is_alive(pid)
        go.touch()
        assert process.wait(20) == 0


def test_stop_does_not_wait_for_ever(cli: CommandLine) -> None:
    pid = cli.start()
    os.kill(pid, signal.SIGSTOP)
    done = cli.run("--stop", "--start-timeout", "0.5", "--stop-grace", "0")
    assert done.returncode == 1
    assert f"pid {pid} has not stopped within 0.5 s" in done.stderr
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not is_alive(pid))


def test_a_crash_leaves_no_obstacle(cli: CommandLine) -> None:
    pid = cli.start()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    assert cli.pid_file.read_text() == f"{pid}\n"
    assert cli.run("--status").returncode == 3
    assert cli.run("--stop").returncode == 1
    assert cli.start() != pid


def test_a_recycled_pid_is_never_signalled(cli: CommandLine) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            cli.pid_file.parent.mkdir(parents=True)
            cli.pid_file.write_text(f"{stranger.pid}\n")
            assert cli.run("--stop").returncode == 1
            # Locked, but by somebody else than the file says: as between a lock and the pid's writing.
            with cli.pid_file.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                done = cli.run("--stop")
                assert done.returncode == 1
                assert "in another PID namespace" in done.stderr
                assert cli.run("--status").returncode == 0
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_asking_for_the_status_never_keeps_a_daemon_from_starting(cli: CommandLine) -> None:
    asking = [subprocess.Popen(cli.command("--status"), env=cli.environ, stdout=subprocess.DEVNULL) for _ in "123"]
    pid = cli.start()
    for process in asking:
        assert process.wait(20) in (0, 3)
    assert cli.run("--stop").returncode == 0
    assert not is_alive(pid)
