"""docs/performance.md explains each row that missed its target, in the line below it."""

from __future__ import annotations

from itertools import pairwise

from tests.support.folders import ROOT

LINES = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").splitlines()


def test_the_line_below_a_failed_row_explains_it() -> None:
    explained = [(row, below) for row, below in pairwise(LINES) if row.endswith("| FAILED |")]
    assert [row for row, below in explained if not below.startswith("| ↑ *why*: ")] == []
    assert sum(line.startswith("| ↑ *why*: ") for line in LINES) == len(explained)
