"""The bar that shows how far something is."""

from __future__ import annotations

from io import BytesIO, StringIO

import pytest

from pycloud.shell.terminal.output import Printer
from pycloud.shell.terminal.progress_bar import ProgressBar


@pytest.mark.parametrize(
    ("done", "failed", "total", "filled"),
    [(0, 0, 7, 0), (5, 0, 10, 15), (4, 1, 10, 15), (7, 0, 7, 30), (99, 0, 100, 29)],
)
def test_a_bar_is_full_when_all_are_done(done: int, failed: int, total: int, filled: int) -> None:
    err = StringIO()
    ProgressBar(Printer(BytesIO(), err, shows_progress=True), "Started", total).show(done, failed)
    assert err.getvalue().rpartition("\r")[2].startswith(f"[{'#' * filled}{'.' * (30 - filled)}] Started {done} of")
