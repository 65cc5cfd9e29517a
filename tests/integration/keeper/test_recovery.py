"""What a new keeper makes of what a killed one left: by kill -9 at any point, by reboot, by a full disk."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pycloud.keeper.system import procfs
from tests.support.keeper import (
    Client,
    KeeperProcess,
    KeeperRefusal,
    Message,
    keeper,
    new_session,
    processes_of,
    wait_for_output,
    wait_gone,
    write_journal,
)
from tests.support.requirements import missing, mount
from tests.support.skewed_clock import LIBRARY
from tests.support.waiting import wait_until

root_only = pytest.mark.usefixtures("root")


def test_a_keeper_whose_clock_is_a_false_one_still_knows_when_its_sessions_started(
    off: KeeperProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not LIBRARY.exists():
        missing("no libfaketime on this machine")
    with monkeypatch.context() as false:
        false.setenv("LD_PRELOAD", str(LIBRARY))
        false.setenv("FAKETIME", "+1000")
        off.start()
    with off.client() as c:
        sessions = {c.start("sleep 600\n") for _ in range(5)}
    off.kill()
    off.start()
    with off.client() as c:
        assert {session for session, entry in c.list().items() if entry["state"] == "running"} == sessions


def test_a_new_keeper_adopts_and_learns_the_end(k: KeeperProcess) -> None:
    with k.client() as c:
        staying, ending, stopping = [c.start("sleep 600\n") for _ in range(3)]
        c.call("note", session=staying, note={"more": 2})
        before = c.list()
    k.kill()
    k.start()
    with k.client() as c:
        assert c.list() == before
        assert before[staying]["record"] == {"name": "test", "more": 2}
        os.kill(before[ending]["pid"], 9)
        event = c.event(ending)
        assert event["exit_code"] is None
        assert "keeper that started it had ended" in event["reason"]
        assert c.stop(stopping)
        assert not processes_of(stopping)
        assert c.state(staying) == "running"
        again = c.answer(c.send_start("sleep 600\n", session=staying)[0])
        assert again["pid"] == before[staying]["pid"]


def test_a_new_keeper_ends_what_an_adopted_session_left(k: KeeperProcess) -> None:
    with k.client() as c:
        session = c.start("sleep 600 & setsid sleep 600 & (trap '' TERM; sleep 600) & echo up; sleep 600\n")
        wait_for_output(k, session, "up")
        wait_until(lambda: len(processes_of(session)) >= 5)
    k.kill()
    k.start()
    with k.client() as c:
        assert c.stop(session, grace=0.5)
        assert not processes_of(session)
        assert k.traces() == [f"state/{session}.journal"]


def test_a_session_that_ended_without_a_keeper(k: KeeperProcess) -> None:
    with k.client() as c:
        session = c.start("setsid sleep 600 & sleep 600\n")
        pid = c.list()[session]["pid"]
        wait_until(lambda: len(processes_of(session)) == 3)
    k.kill()
    os.kill(pid, 9)
    wait_until(lambda: (p := procfs.get_process(pid)) is None or p.dead)
    k.start()
    with k.client() as c:
        entry = c.list()[session]
        assert (entry["state"], entry["exit_code"]) == ("ended", None)
        assert "no keeper was running" in entry["reason"]
        wait_gone(session)


def test_adopted_sessions_beyond_the_limit_on_descriptors(tmp_path: Path) -> None:
    with keeper(tmp_path / "data", nofile=80) as k:
        with k.client() as c:
            sessions = [c.start("sleep 600\n") for _ in range(40)]
        k.kill()
        k.start()
        with k.client() as c:
            entries = c.list()
            for session in sessions:
                os.kill(entries[session]["pid"], 9)
            for session in sessions:
                assert c.event(session)["exit_code"] is None


@pytest.mark.parametrize(
    ("fault", "survives"),
    [
        ("keeper.after_journal", False),
        ("keeper.after_workdir", False),
        ("keeper.after_spawn", True),
        ("keeper.after_running", True),
    ],
)
def test_killed_while_starting(k: KeeperProcess, fault: str, survives: bool) -> None:
    k.kill()
    k.start(fault=fault)
    session = new_session()
    with k.client() as c, pytest.raises(ConnectionError):
        c.answer(c.send_start("echo up; sleep 600\n", session=session)[0])
    assert k.wait() == -9
    k.start()
    with k.client() as c:
        if not survives:
            assert c.list() == {}
            assert k.traces() == []
        answer = c.answer(c.send_start("echo up; sleep 600\n", session=session)[0])
        entry = c.list()[session]
        assert entry["state"] == "running"
        assert (entry["pid"], entry["port"]) == (answer["pid"], answer["port"])
        wait_for_output(k, session, "up")
        assert k.output(session) == "up\n"  # started once, however often it was asked for
        assert c.stop(session)
        assert not processes_of(session)


@pytest.mark.parametrize("fault", ["keeper.before_ended", "keeper.after_ended"])
def test_killed_while_a_session_ends(k: KeeperProcess, fault: str) -> None:
    k.kill()
    k.start(fault=fault)
    with k.client() as c:
        session = c.start("setsid sleep 600 & sleep 600 & sleep 0.1; exit 6\n")
    assert k.wait() == -9
    k.start()
    with k.client() as c:
        assert c.list()[session]["exit_code"] == (6 if fault == "keeper.after_ended" else None)
        wait_gone(session)


@pytest.mark.parametrize("fault", ["keeper.after_removing", "keeper.before_clearing", "keeper.after_clearing"])
def test_killed_while_removing(k: KeeperProcess, fault: str) -> None:
    k.kill()
    k.start(fault=fault)
    with k.client() as c:
        session = c.start("sleep 600 & setsid sleep 600 & sleep 600\n")
        wait_until(lambda: len(processes_of(session)) >= 4)
        with pytest.raises(ConnectionError):
            c.stop(session, grace=3)
    assert k.wait() == -9
    k.start()
    with k.client() as c:
        wait_until(lambda: c.state(session) == "removed", message=lambda: k.log.read_text())
        assert not processes_of(session)
        assert k.traces() == [f"state/{session}.journal"]
        assert c.list()[session]["removing"] == {"why": "test"}


@pytest.mark.parametrize("tail", [[], [{"removing": 1.0, "note": {}, "grace": 0}], [{"ended": 2.0, "exit_code": 0}]])
def test_a_strangers_pid_is_left_alone(off: KeeperProcess, tail: list[Message]) -> None:
    stranger = subprocess.Popen(["sh", "-c", "sleep 600 & wait"], start_new_session=True)
    try:
        start_time = procfs.get_process(stranger.pid).start_time  # type: ignore[union-attr]
        session = new_session()
        running = {"pid": stranger.pid, "start_time": start_time - 5, "boot_id": procfs.boot_id(), "port": 1}
        write_journal(off, session, {"starting": 1.0, "port": 1, "record": {}}, {"running": 1.0, **running}, *tail)
        off.start()
        with off.client() as c:
            assert c.list()[session]["state"] in ("ended", "removed", "removing")
            assert c.stop(session, grace=0)
        assert stranger.poll() is None
    finally:
        os.killpg(stranger.pid, 9)
        stranger.wait()


def test_after_a_reboot(off: KeeperProcess) -> None:
    session = new_session()
    me = procfs.get_process(os.getpid())
    assert me is not None
    running = {"running": 1.0, "pid": me.pid, "start_time": me.start_time, "boot_id": "another boot", "port": 1}
    write_journal(off, session, {"starting": 1.0, "port": 1, "record": {}}, running)
    off.start()
    with off.client() as c:
        entry = c.list()[session]
        assert (entry["state"], entry["exit_code"]) == ("ended", None)
        assert "rebooted" in entry["reason"]
        assert c.stop(session, grace=0)


def test_torn_and_unreadable_journals(off: KeeperProcess) -> None:
    torn, bad, empty = new_session(), new_session(), new_session()
    write_journal(off, torn, {"starting": 1.0, "port": 1, "record": {}}, torn=b'{"runn')
    write_journal(off, bad, {"nonsense": 1})
    write_journal(off, empty, torn=b'{"starting"')
    for name in (torn, bad, new_session(), "not a session"):
        (off.data / "work" / name).mkdir(parents=True, exist_ok=True)
    off.start()
    with off.client() as c:
        assert c.list() == {}
    assert off.traces() == sorted([f"state/{bad}.bad", f"work/{bad}", "work/not a session"])
    assert "set aside" in off.log.read_text()


@pytest.mark.alone
def test_a_thousand_journals_are_read_quickly(off: KeeperProcess) -> None:
    for _ in range(1000):
        running = {"running": 1.0, "pid": 1, "start_time": 1, "boot_id": "another boot", "port": 1}
        write_journal(off, new_session(), {"starting": 1.0, "port": 1, "record": {"k": "v"}}, running)
    begun = time.monotonic()
    off.start()
    with off.client() as c:
        assert len(c.list()) == 1000
    assert time.monotonic() - begun < 5


@root_only
def test_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount(disk, "256k")
    try:
        with keeper(disk / "data", tmp_path / "s", ports_dir=tmp_path / "ports") as k, k.client() as c:
            session = c.start("sleep 600\n")
            filler = disk / "filler"
            with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            with pytest.raises(KeeperRefusal, match="No space left on device"):
                c.start("true\n" * 2000)
            assert list(c.list()) == [session]
            assert k.traces(session) == k.traces()
            os.kill(c.list()[session]["pid"], 9)
            assert c.event(session)["exit_code"] == 137
            filler.unlink()
            assert c.stop(session)
            c.start("true\n")
    finally:
        subprocess.run(["umount", disk], check=True)


def _churn(c: Client, sessions: list[str], until: float) -> None:
    """Start and stop without waiting for answers, until ``until`` or until the keeper is gone."""
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < until:
            sessions.append(c.send_start("sleep 600 & setsid sleep 600 & sleep 600\n")[1])
            c.send("stop", session=random.choice(sessions), grace=5, note={})


def test_killed_at_any_instant(k: KeeperProcess) -> None:
    sessions: list[str] = []
    for _ in range(12):
        assert k.process is not None
        killer = threading.Timer(random.uniform(0.01, 0.2), k.process.kill)
        with k.client() as c:
            killer.start()
            _churn(c, sessions, until=time.monotonic() + 10)
        killer.join()
        assert k.wait() == -9
        k.start()
    with k.client() as c:
        known = c.list()
        assert all(entry["state"] != "running" or processes_of(s) for s, entry in known.items())
        seqs = [c.send("stop", session=session, grace=1, note={}) for session in known]
        assert all(c.answer(seq)["found"] for seq in seqs)
        wait_until(lambda: not processes_of(*sessions), message=lambda: str(processes_of(*sessions)))
        assert k.traces() == sorted(f"state/{session}.journal" for session in known)
    assert "Traceback" not in k.log.read_text()


def test_a_start_is_repeated_while_a_new_keeper_ends_what_the_first_attempt_left(k: KeeperProcess) -> None:
    k.kill()
    k.start(fault="keeper.after_spawn")
    session, script = new_session(), "sleep 600 & exit 0\n"
    with k.client() as c, pytest.raises(ConnectionError):
        c.answer(c.send_start(script, session=session)[0])
    assert k.wait() == -9
    wait_until(lambda: processes_of(session) and all(p.pid != p.sid for p in processes_of(session)))
    k.start(ready=False)
    while True:
        try:
            c = k.client()
            break
        except (FileNotFoundError, ConnectionError):
            pass
    with c:
        c.send_start(script, session=session)
        wait_until(lambda: not processes_of(session))
        assert c.call("hello", version=1)["pid"] == k.pid, k.log.read_text()
