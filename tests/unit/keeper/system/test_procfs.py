"""What /proc says, and signals that never reach a stranger."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
