"""What /proc says, who belongs to whom, and signals that never reach a stranger."""

from __future__ import annotations

import dataclasses
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycloud.keeper.lifecycle import reaper
from pycloud.keeper.lifecycle.process_scan import ProcessSnapshot, members_of
from pycloud.keeper.lifecycle.process_tree import ProcessTree, SessionLeader
from pycloud.keeper.system import procfs
from pycloud.keeper.system.procfs import Process
from tests.support.waiting import wait_until

SESSION = "5e55105e55105e55105e"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own that carries a session's id."""
    env = {**os.environ, "PYCLOUD_SESSION": SESSION}
    process = subprocess.Popen(["sleep", "100"], env=env, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def found(pid: int) -> Process | None:
    return next((p for p in procfs.scan() if p.pid == pid), None)


def test_a_process_is_seen_as_it_is(sleeper: subprocess.Popen[bytes]) -> None:
    process = found(sleeper.pid)
    assert process is not None
    assert (process.parent, process.group, process.sid) == (os.getpid(), sleeper.pid, sleeper.pid)
    assert process.session == SESSION
    assert procfs.is_alive(sleeper.pid, process.start_time)
    assert not procfs.is_alive(sleeper.pid, process.start_time + 1)
    assert process.start_time <= procfs.ticks_now()
    assert sleeper.pid in procfs.orphans()


def test_the_environment_of_known_sessions_is_not_read(sleeper: subprocess.Popen[bytes]) -> None:
    known = next(p for p in procfs.scan({sleeper.pid}) if p.pid == sleeper.pid)
    assert known.session is None


def test_a_scan_does_not_find_ourselves() -> None:
    assert found(os.getpid()) is None


def test_a_zombie_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    start_time = procfs.get_process(sleeper.pid).start_time  # type: ignore[union-attr]
    sleeper.kill()
    wait_until(lambda: procfs.get_process(sleeper.pid).dead)  # type: ignore[union-attr]
    assert not procfs.is_alive(sleeper.pid, start_time)
    assert found(sleeper.pid) is None


def test_a_signal_reaches_whom_was_meant(sleeper: subprocess.Popen[bytes]) -> None:
    process = found(sleeper.pid)
    assert process is not None
    procfs.signal_process(dataclasses.replace(process, start_time=process.start_time - 1), signal.SIGKILL)
    assert sleeper.poll() is None
    procfs.signal_process(process, signal.SIGTERM)
    assert sleeper.wait(10) == -signal.SIGTERM
    procfs.signal_process(process, signal.SIGTERM)  # gone: nothing happens


def test_names_with_parentheses_do_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to(sys.executable)
    process = subprocess.Popen([program, "-c", "import time; time.sleep(100)"])
    try:
        assert procfs.get_process(process.pid).parent == os.getpid()  # type: ignore[union-attr]
    finally:
        process.kill()
        process.wait()


def test_children_are_found_without_the_kernels_list(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = procfs._read
    monkeypatch.setattr(procfs, "_read", lambda path: None if path.endswith("children") else read(path))
    assert sleeper.pid in procfs.orphans()


def test_who_is_expected_to_die_is_waited_for_at_once_and_the_others_after_a_rest() -> None:
    family, ended, clock = ProcessTree(selectors.DefaultSelector(), 0), list[str](), iter([0.0, 1.0, 1.5, 5.0, 5.0])
    pids = {name: os.posix_spawnp("sleep", ["sleep", "600"], os.environ) for name in ("expected", "other")}
    for session, pid in pids.items():
        family.add(session, SessionLeader(pid, 0, is_child=True), 0.0)
    told = [pids["expected"]]
    waiting = reaper.Reaper(family, lambda: told, lambda session, *_how: ended.append(session), lambda: next(clock))
    assert waiting.reap() == set()  # it took from 0 to 1, so that the next look at all is at 5
    assert waiting.due() is None

    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert waiting.reap() == {"expected"}
    told.clear()
    assert waiting.due() == 5.0
    assert waiting.reap() == {"other"}
    assert (waiting.due(), ended) == (None, ["expected", "other"])


@pytest.mark.parametrize(
    ("environ", "session"),
    [
        (None, None),
        (b"", None),
        (b"A=1\0PYCLOUD_SESSION=x\0", "x"),
        (b"PYCLOUD_SESSION=x\0PYCLOUD_SESSION=y\0", "x"),
        (b"OLD_PYCLOUD_SESSION=x\0B=PYCLOUD_SESSION=y\0", None),
    ],
)
def test_the_session_in_an_environment(environ: bytes | None, session: str | None) -> None:
    assert procfs.session_in(environ) == session


def test_boot_id_is_stable() -> None:
    assert procfs.boot_id() == procfs.boot_id() != ""


def some(pid: int, sid: int, start_time: int, session: str | None = None) -> Process:
    return Process(pid, "S", 1, sid, sid, start_time, session)


def members(found: list[Process], leader: int, seen: int, alive: bool = True) -> set[int]:
    named = [p for p in found if p.session == SESSION]
    same_sid = [p for p in found if p.sid == leader]
    return {p.pid for p in members_of(named, same_sid, seen, lambda process: alive)}


def test_who_carries_the_id_belongs() -> None:
    assert members([some(7, 7, 100, SESSION), some(8, 8, 100, "another")], leader=5, seen=50) == {7}


def test_who_is_older_than_the_last_look_belongs() -> None:
    assert members([some(6, 5, 49), some(7, 5, 50)], leader=5, seen=50) == {6, 7}


def test_a_number_used_again_does_not_make_a_stranger_ours() -> None:
    assert members([some(5, 5, 90), some(6, 5, 91)], leader=5, seen=50) == set()


def test_who_was_there_with_one_of_ours_belongs() -> None:
    assert members([some(6, 5, 49), some(7, 5, 90)], leader=5, seen=50) == {6, 7}
    assert members([some(6, 5, 90, SESSION), some(7, 5, 91)], leader=5, seen=50) == {6, 7}


def test_one_of_ours_that_has_died_proves_nothing() -> None:
    assert members([some(6, 5, 49), some(7, 5, 90)], leader=5, seen=50, alive=False) == {6}


def test_one_of_ours_elsewhere_proves_nothing() -> None:
    assert members([some(6, 6, 49, SESSION), some(7, 5, 90)], leader=5, seen=50) == {6}


def test_a_survey_sorts() -> None:
    survey = ProcessSnapshot([some(6, 6, 1, SESSION), some(7, 5, 1), some(8, 8, 1)])
    assert {p.pid for p in survey.members(SESSION, 5, 10)} == {6, 7}
    assert survey.members("nobody", 99, 10) == []


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (os.CLD_EXITED, 0, (0, None)),
        (os.CLD_EXITED, 3, (3, None)),
        (os.CLD_KILLED, 9, (137, "killed by signal 9 (SIGKILL)")),
        (os.CLD_DUMPED, 11, (139, "killed by signal 11 (SIGSEGV)")),
        (os.CLD_KILLED, 40, (168, "killed by signal 40 (a real-time signal)")),
    ],
)
def test_outcomes(code: int, status: int, expected: tuple[int, str | None]) -> None:
    assert reaper.outcome(code, status) == expected
