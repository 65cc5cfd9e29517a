"""make bench: what it prints is what it measured, and a missed target is its failure. How fast it is, is not tested."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.folders import ROOT


def test_a_row_is_measured_beside_its_limit() -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--row", "status", "-o", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    rows = json.loads(done.stdout)["rows"]
    assert [row["title"] for row in rows] == ["status, one at a time, p50", "status, 256 outstanding, rate"]
    assert all(row["value"] > 0 and row["ratio"] == row["value"] / row["limit"] for row in rows)
    assert [row["met"] for row in rows] == [rows[0]["ratio"] <= 1.2, rows[1]["ratio"] >= 3]
    assert done.returncode == (0 if all(row["met"] for row in rows) else 1), done.stderr
