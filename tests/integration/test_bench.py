"""make bench: what it prints is what it measured, and a missed target is its failure. How fast it is, is not tested."""

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

from bench import trial
from bench.disk import kind_of, own_disk
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
def test_a_run_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "bench", "--row", "create-one"]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL) as bench:
        wait_until(lambda: any(tmp_path.glob("**/keeper.lock")) or bench.poll() is not None, 60)
        bench.send_signal(number)
        assert bench.wait(60) == (-number if number == signal.SIGINT else 128 + number)
    assert not list(tmp_path.iterdir())
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]


def test_the_smallest_cloud_starts_each_process_without_a_look_at_those_that_it_started_before(tmp_path: Path) -> None:
    pid = trial.start(tmp_path, "exec sleep 600").process.pid
    try:
        assert not [each for each in subprocess._active if each.pid == pid]  # type: ignore[attr-defined]
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_files_lie_on_a_file_system_that_goes_away_with_the_run_or_where_temporary_ones_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with own_disk() as place:
        if place is None:
            assert capsys.readouterr().err.endswith(f"what is measured lies in {tempfile.gettempdir()}\n")
        else:
            assert place.is_mount()
            assert kind_of(place) == "ext4"
    assert place is None or not place.exists()


@pytest.mark.parametrize("cannot", ["mkfs.ext4", "mount"])
def test_who_may_make_none_is_told_where_files_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cannot: str
) -> None:
    (tmp_path / cannot).write_text("#!/bin/sh\necho it may not be >&2; exit 1\n")
    (tmp_path / cannot).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with own_disk() as place:
        assert place is None
    assert capsys.readouterr().err.splitlines() == [
        "it may not be",
        f"no file system of our own; what is measured lies in {tempfile.gettempdir()}",
    ]
