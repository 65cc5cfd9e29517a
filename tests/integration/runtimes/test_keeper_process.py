"""Daemon and keeper find each other, and only each other, whatever has become of sockets, locks and directories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pycloud.errors import KeeperError
from pycloud.keeper.ipc import protocol
from pycloud.keeper.system import file_lock
from pycloud.runtimes.script.keeper_process import KeeperLauncher, KeeperSettings
from tests.support.daemon import ROOT, Daemon
from tests.support.keeper import keeper, wait_for_output
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

SLEEP = "exec sleep 1000"
DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]


def launcher(data: Path) -> KeeperLauncher:
    return KeeperLauncher(KeeperSettings(data, 1 << 20, 1024))


def test_a_run_directory_that_is_removed_takes_no_session_with_it(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    daemon, requester = daemon_on(shared_redis, run_dir=run).start(), requester_on(shared_redis)
    created, keeper_pid = requester.create(SLEEP), daemon.keeper_pid
    shutil.rmtree(run)
    assert requester.create("exit 0")["state"] == "running"
    daemon.kill()
    daemon.start()
    assert daemon.keeper_pid == keeper_pid
    assert requester.status(created["id"])["status"] is True


def test_two_clouds_with_one_run_directory_have_a_keeper_each(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path
) -> None:
    first, second = (daemon_on(shared_redis, run_dir=tmp_path / "run") for _ in range(2))
    requester = requester_on(shared_redis)
    first.start()
    created = requester.create(SLEEP)
    assert first.stop() == 0
    second.start()
    assert second.keeper_pid != first.keeper_pid
    assert second.stop() == 0
    assert created["id"] in first.sessions()
    first.start()
    assert requester.status(created["id"])["status"] is True


def test_a_socket_that_was_deleted_is_made_anew(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    created, keeper_pid = requester.create(SLEEP), daemon.keeper_pid
    daemon.kill()
    (daemon.data / protocol.SOCKET).unlink()
    daemon.start()
    assert daemon.keeper_pid == keeper_pid
    assert requester.remove(created["id"])["status"] is True


def test_the_keeper_of_another_directory_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    with keeper(tmp_path / "theirs") as k:
        (mine / protocol.SOCKET).symlink_to(k.socket)
        with pytest.raises(KeeperError, match=f"the keeper found in {mine} .pid {k.pid}. works in another data dir"):
            launcher(mine).connect()
        moved = tmp_path / "moved"
        k.data.rename(moved)
        try:
            with pytest.raises(KeeperError, match="if this one was moved, move it back"):
                launcher(moved).connect()
        finally:
            moved.rename(k.data)
        launcher(k.data).connect().socket.close()


def test_a_copied_lock_says_nothing(tmp_path: Path) -> None:
    with keeper(tmp_path / "one") as k:
        copy = tmp_path / "copy"
        copy.mkdir()
        shutil.copy(k.data / file_lock.NAME, copy)
        assert file_lock.holder(k.data) == {"pid": k.pid, "socket": str(k.socket), "version": protocol.VERSION}
        assert file_lock.holder(copy) is None
        assert file_lock.holder(tmp_path / "nowhere") is None


def test_a_pid_that_is_not_the_holders_is_not_believed(tmp_path: Path) -> None:
    held = file_lock.acquire(tmp_path)
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            (tmp_path / file_lock.NAME).write_text(json.dumps({"pid": stranger.pid, "socket": "/s"}))
            assert file_lock.holder(tmp_path) == {"socket": "/s"}
            (tmp_path / file_lock.NAME).write_text(json.dumps({"pid": os.getpid(), "socket": "/s"}))
            assert file_lock.holder(tmp_path) == {"pid": os.getpid(), "socket": "/s"}
            (tmp_path / file_lock.NAME).write_text("nonsense")
            assert file_lock.holder(tmp_path) is None
        finally:
            stranger.kill()
            file_lock.release(held)


def test_files_that_others_could_lock_are_closed_to_them(
    shared_redis: RedisServer, daemon_on: DaemonOn, tmp_path: Path
) -> None:
    daemon = daemon_on(shared_redis, run_dir=tmp_path / "run")
    files = [
        daemon.data / "lock",
        daemon.data / file_lock.NAME,
        daemon.data / "keeper.log",
        tmp_path / "run" / "pycloud.pid",
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o644)
        file.chmod(0o644)
    daemon.start()
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in files} == {file.name: "0o600" for file in files}


def test_new_limits_reach_an_old_keeper(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    script = "ulimit -Sn; head -c 3000000 /dev/zero | tr '\\0' x; exec sleep 1000"
    before = requester.create(script)
    keeper_pid = daemon.keeper_pid
    wait_until(lambda: log_of(daemon, before["id"]).stat().st_size > 3_000_000)
    daemon.kill()
    daemon.options |= {"log_bytes": 1 << 20}
    command = ["sh", "-c", 'ulimit -Sn 300; exec "$@"', "sh", *daemon.command]
    with daemon.log_path.open("ab") as output:
        env = {**daemon.env, "PYTHONPATH": str(ROOT)}
        daemon.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    wait_until(lambda: daemon.log().count(" ready: ") == 2, 30, daemon.log)
    assert daemon.keeper_pid == keeper_pid
    after = requester.create(script)
    wait_until(lambda: log_of(daemon, after["id"]).stat().st_size > 3_000_000)
    assert log_of(daemon, after["id"]).stat().st_size == 3_000_004  # 300 and a line feed
    wait_until(lambda: log_of(daemon, after["id"]).stat().st_blocks * 512 <= (1 << 20) + 8192)
    assert log_of(daemon, before["id"]).stat().st_blocks * 512 > 2_900_000, "nothing was written to it since"


def log_of(daemon: Daemon, session: str) -> Path:
    return daemon.data / "logs" / f"{session}.log"


def test_sessions_are_ended_with_their_daemon_or_after_it(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    requester.create(SLEEP)
    stop = [*daemon.command, "--on-stop", "remove", "--stop"]
    for said in (f"pycloud has stopped (it was pid {daemon.pid})\nsessions ended: 1\n", None):
        done = subprocess.run(stop, env=daemon.env, capture_output=True, text=True, timeout=60, check=False)
        assert daemon.sessions() == {}
        assert done.returncode == 0, done.stderr
        assert said is None or done.stdout == said
        if said:
            assert daemon.process is not None
            assert daemon.process.wait(20) == 0
            daemon.start()
            requester.create(SLEEP)
            daemon.kill()


def test_make_clean_ends_what_runs(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path
) -> None:
    place = tmp_path / "checkout"
    place.mkdir()
    (place / ".venv").symlink_to(sys.prefix)  # what "make clean" deletes is this link
    daemon, requester = daemon_on(shared_redis, data_dir=place / ".pycloud"), requester_on(shared_redis)
    daemon.data = place / ".pycloud"
    daemon.start()
    requester.create(SLEEP)
    cloud = daemon.cloud
    env = {**daemon.env, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["make", "-f", ROOT / "Makefile", "-C", place, "clean"], env=env, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert daemon.process is not None
    assert daemon.process.wait(20) == 0
    assert not list(place.iterdir())
    assert requester.redis.keys(f"*cloud:{cloud}") == []


def test_a_keeper_whose_directory_is_gone_stays_for_its_sessions_only(tmp_path: Path) -> None:
    go = tmp_path / "go"
    with keeper(tmp_path / "data") as k:
        with k.client() as c:
            session = c.start(f"echo up; until [ -e {go} ]; do sleep 0.05; done\n")
            wait_for_output(k, session, "up")  # what its shell reads it from goes too
            pid = c.list()[session]["pid"]
        shutil.rmtree(k.data)
        k.data.mkdir()  # as if somebody began anew there
        assert k.process is not None
        with pytest.raises(subprocess.TimeoutExpired):
            k.process.wait(7)  # longer than it stays without a session
        assert Path(f"/proc/{pid}").exists()
        go.touch()
        assert k.wait(30) == 0
