"""``make bench``: it prints its readings and fails where a target is missed. The readings themselves are not tested."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from bench.environment import filesystem_type, own_filesystem
from bench.limits import start_unwaited
from tests.support.folders import ROOT
from tests.support.waiting import wait_until


def test_a_row_is_measured_beside_its_limit() -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--row", "status", "-o", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    rows = json.loads(done.stdout)["rows"]
    assert [row["title"] for row in rows] == ["status, one at a time, p50", "status, 256 outstanding, rate"]
    assert all(row["value"] > 0 and row["ratio"] == row["value"] / row["limit"] for row in rows)
    assert [row["met"] for row in rows] == [rows[0]["ratio"] <= 1.2, rows[1]["ratio"] >= 3]
    assert done.returncode == (0 if all(row["met"] for row in rows) else 1), done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "bench", "--row", "create-one"]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL) as bench:
        wait_until(lambda: any(tmp_path.glob("**/keeper.lock")) or bench.poll() is not None, 60)
        bench.send_signal(number)
        assert bench.wait(60) == (-number if number == signal.SIGINT else 128 + number)
    assert not list(tmp_path.iterdir())
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]


def test_the_smallest_node_does_not_poll_earlier_processes_at_each_start(tmp_path: Path) -> None:
    pid = start_unwaited(tmp_path, "exec sleep 600").process.pid
    try:
        assert not [each for each in subprocess._active if each.pid == pid]  # type: ignore[attr-defined]
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_file_system_of_the_bench_is_removed_with_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    with own_filesystem() as mount_point:
        if mount_point is None:
            assert capsys.readouterr().err.endswith(f"what is measured lies in {tempfile.gettempdir()}\n")
        else:
            assert mount_point.is_mount()
            assert filesystem_type(mount_point) == "ext4"
    assert mount_point is None or not mount_point.exists()


@pytest.mark.parametrize("failing", ["mkfs.ext4", "mount"])
def test_without_a_file_system_of_its_own_the_bench_prints_where_files_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failing: str
) -> None:
    (tmp_path / failing).write_text("#!/bin/sh\necho it may not be >&2; exit 1\n")
    (tmp_path / failing).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with own_filesystem() as mount_point:
        assert mount_point is None
    assert capsys.readouterr().err.splitlines() == [
        "it may not be",
        f"no file system of our own; what is measured lies in {tempfile.gettempdir()}",
    ]
