"""What a script finds when it runs as a session, and what a remove leaves of it: nothing."""

from __future__ import annotations

import json
import os
import pwd
import resource
import shutil
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.daemon import Daemon
from tests.support.folders import let_others_pass
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.requester import Requester
from tests.support.waiting import wait_until

DaemonOn = Callable[..., Daemon]
RequesterOn = Callable[[RedisServer], Requester]
SHOW = """#!/bin/sh
{ env; echo ---; pwd; id -un; ulimit -Sn; readlink /proc/$$/fd/0; cat pycloud.json; } > shown.new
mv shown.new shown
exec sleep 1000
"""


def shown(daemon: Daemon, session: str) -> tuple[dict[str, str], list[str]]:
    """The environment that SHOW saw, and the lines after it."""
    path = daemon.data / "work" / session / "shown"
    wait_until(path.exists)
    environment, _, rest = path.read_text().partition("---\n")
    return dict(line.partition("=")[::2] for line in environment.splitlines()), rest.splitlines()


def test_a_script_finds_an_allow_list_its_own_and_who_it_is(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis, session_env="WANTED"), requester_on(shared_redis)
    daemon.env |= {"SECRET": "s", "PYCLOUD_REDIS_URL": "redis://nobody", "WANTED": "w", "LC_TIME": "C", "TZ": "UTC"}
    daemon.start()
    created = requester.create(SHOW, env={"MINE": "a b\nc=d", "PATH": "/bin:/usr/bin"})
    environment, (cwd, user, nofile, stdin, *document) = shown(daemon, created["id"])

    assert environment["PYCLOUD_SESSION"] == created["id"]
    assert environment["PYCLOUD_CLOUD"] == daemon.cloud
    assert environment["PYCLOUD_HOSTNAME"] == "host.test"
    assert environment["PYCLOUD_PORT"] == str(created["port"])
    assert (environment["WANTED"], environment["TZ"], environment["LC_TIME"]) == ("w", "UTC", "C")
    assert (environment["MINE"], environment["PATH"]) == ("a b", "/bin:/usr/bin")
    allowed = {"PATH", "HOME", "LANG", "TZ", "USER", "MINE", "WANTED", "PWD", "SHLVL", "_", "OLDPWD", "c"}
    extra = {name for name in environment if not name.startswith(("LC_", "PYCLOUD_"))} - allowed
    assert not extra
    assert "PYCLOUD_REDIS_URL" not in environment

    assert cwd == str(daemon.data / "work" / created["id"])
    assert user == pwd.getpwuid(os.getuid()).pw_name
    assert int(nofile) == resource.getrlimit(resource.RLIMIT_NOFILE)[0], "the limit that the daemon raised is restored"
    assert stdin == "/dev/null"
    assert json.loads("".join(document)) == {
        "hostname": "host.test",
        "port": created["port"],
        "sessions": 1,
        "session": created["id"],
        "cloud": daemon.cloud,
    }


def test_the_descriptor_limit_is_raised_for_the_daemon_and_restored_in_sessions(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard // 2, hard))
    try:
        daemon = daemon_on(shared_redis).start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    created = requester_on(shared_redis).create(SHOW)
    _environment, (_cwd, _user, nofile, *_rest) = shown(daemon, created["id"])
    assert int(nofile) == hard // 2
    assert psutil.Process(daemon.pid).rlimit(resource.RLIMIT_NOFILE)[0] == hard


@pytest.mark.usefixtures("root")
def test_run_as(shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path) -> None:
    daemon = daemon_on(shared_redis, run_as="nobody").launch()
    assert daemon.process is not None
    assert daemon.process.wait(20) == 2, "pytest's own directories are closed to others"
    assert "nobody cannot traverse" in daemon.log()
    daemon.home.chmod(0o755)
    let_others_pass(tmp_path)
    shutil.rmtree(daemon.data)
    old = os.umask(0o077)
    try:
        daemon.start()
    finally:
        os.umask(old)
    requester = requester_on(shared_redis)
    probe = SHOW.replace(
        "exec sleep", "ls ../../state ../../logs && exit 9; echo x > ../../state/x && exit 9; : > ok; exec sleep"
    )
    created = requester.create(probe)
    environment, (_cwd, user, *_rest) = shown(daemon, created["id"])
    assert (user, environment["USER"]) == ("nobody", "nobody")
    assert environment["HOME"] == pwd.getpwnam("nobody").pw_dir
    work = daemon.data / "work" / created["id"]
    wait_until((work / "ok").exists, message="it could not look at or write what the daemon trusts")
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    assert work.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert "running as root, so scripts run as root too" not in daemon.log()
    assert requester.remove(created["id"])["status"] is True
    assert not work.exists()


def test_ports_are_free_and_given_once(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    low = free_port()
    daemons = [daemon_on(shared_redis, port_range=f"{low}-{low + 9}").start() for _ in range(2)]
    requester = requester_on(shared_redis)
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", low + 3))
        udp.bind(("127.0.0.1", low + 4))
        created = [requester.create("exec sleep 1000") for _ in range(8)]
        ports = sorted(each["port"] for each in created)
        assert ports == [low + n for n in range(10) if n not in (3, 4)], "over both clouds, each once"
        answer = requester.create("exec sleep 1000")
        assert answer["error"]["code"] == "start_failed"
        assert f"{low} to {low + 9}" in answer["error"]["message"]
    requester.remove(created[0]["id"])
    assert requester.create("exec sleep 1000")["state"] == "running"
    assert len({each["cloud"] for each in created}) <= len(daemons)


def test_a_remove_is_answered_when_everything_is_gone(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis, stop_grace=0.3).start(), requester_on(shared_redis)
    stubborn = "trap '' TERM; (trap '' TERM; sleep 1000) & setsid sh -c 'trap \"\" TERM; sleep 1000' & mkdir d; "
    created = requester.create(stubborn + "chmod 0 d; while :; do sleep 1; done")
    wait_until(lambda: len(daemon.sessions().get(created["id"], [])) >= 4)
    assert requester.remove(created["id"])["status"] is True
    assert daemon.sessions() == {}
    assert list((daemon.data / "work").iterdir()) == list((daemon.data / "logs").iterdir()) == []


def test_grace_lets_a_script_end_in_its_own_way(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, tmp_path: Path
) -> None:
    daemon, requester = daemon_on(shared_redis, stop_grace=30).start(), requester_on(shared_redis)
    saved = tmp_path / "saved"
    created = requester.create(f"trap 'echo world > {saved}; exit 0' TERM; while :; do sleep 0.05; done")
    wait_until(lambda: created["id"] in daemon.sessions())
    assert requester.remove(created["id"])["status"] is True
    assert saved.read_text() == "world\n"


def test_a_session_ends_when_its_first_process_ends(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    created = requester.create("sleep 1000 & setsid sleep 1000 & sleep 0.1; exit 4")
    status = wait_until(lambda: not (s := requester.status(created["id"]))["status"] and s)
    assert status["exit_code"] == 4
    wait_until(lambda: daemon.sessions() == {}, message="the rest is ended too")


def test_a_signal_as_exit_code(shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    created = requester.create("exec sleep 1000")
    os.kill(daemon.sessions()[created["id"]][0], signal.SIGKILL)
    status = wait_until(lambda: not (s := requester.status(created["id"]))["status"] and s)
    assert (status["exit_code"], status["state"]) == (137, "exited")
    assert "SIGKILL" in status["reason"]


def test_an_ended_session_is_remembered_for_a_while(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis, remember=1.5).start(), requester_on(shared_redis)
    session = requester.create("exit 3")["id"]
    wait_until(lambda: requester.status(session).get("state") == "exited")
    wait_until(lambda: "state" not in requester.status(session))
    assert requester.status(session) == {"cloud": daemon.cloud, "id": session, "status": False}
    wait_until(lambda: list((daemon.data / "state").iterdir()) == [])
    assert list((daemon.data / "work").iterdir()) == []
    assert not requester.redis.exists("{year4000.pycloud}:session:" + session)


def test_a_full_disk_fails_the_start_and_the_daemon_goes_on(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn, small_disk: Path
) -> None:
    daemon, requester = daemon_on(shared_redis, data_dir=small_disk / "data"), requester_on(shared_redis)
    daemon.data = small_disk / "data"
    daemon.start()
    before = requester.create("exec sleep 1000")
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.strerror == "No space left on device"
    names = sorted(daemon.data.rglob("*"))
    answer = requester.create("#" * 10000)
    assert answer["error"]["code"] == "start_failed"
    assert "No space left" in answer["error"]["message"]
    assert sorted(daemon.data.rglob("*")) == names
    assert requester.status(before["id"])["status"] is True
    filler.unlink()
    after = requester.create("exec sleep 1000")
    assert after["state"] == "running"
    for each in (before, after):
        assert requester.remove(each["id"])["status"] is True


def test_a_script_cannot_stop_the_cloud(
    shared_redis: RedisServer, daemon_on: DaemonOn, requester_on: RequesterOn
) -> None:
    daemon, requester = daemon_on(shared_redis).start(), requester_on(shared_redis)
    created = requester.create("kill -HUP $PPID; kill -INT $PPID; exec sleep 1000")
    assert requester.status(created["id"])["status"] is True
    assert requester.create("exit 0")["state"] == "running"
    assert daemon.running
