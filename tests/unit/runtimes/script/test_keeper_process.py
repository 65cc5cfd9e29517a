"""Which keeper is the right one, and why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycloud.errors import KeeperError
from pycloud.keeper.ipc import protocol
from pycloud.runtimes.script.keeper_process import KeeperLauncher, KeeperSettings, failure_reason


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ({"version": protocol.VERSION, "pid": 7, "data": [1, 2]}, None),
        ({"version": protocol.VERSION, "pid": 7}, None),
        ({"version": protocol.VERSION, "pid": 8}, "another data directory"),
        ({"version": protocol.VERSION, "pid": 7, "data": [1, 3]}, "another data directory"),
        ({"version": protocol.VERSION, "pid": 7, "data": None}, "another data directory"),
        ({"version": protocol.VERSION + 1, "pid": 7, "data": [1, 2]}, "uses version"),
        ({"error": {"code": "bad_request", "message": "no"}}, "rejected the connection: no"),
    ],
)
def test_who_is_the_right_keeper(answer: dict[str, object], refused: str | None) -> None:
    said = failure_reason(answer, Path("/d"), [1, 2], lock_pid=7)
    assert said is None if refused is None else refused in str(said)


def test_a_log_that_cannot_be_opened_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "keeper.log").mkdir()
    with pytest.raises(KeeperError, match=f"the keeper cannot be started: Is a directory: {tmp_path}/keeper.log"):
        KeeperLauncher(KeeperSettings(tmp_path, 1 << 20, 1024)).connect()
