"""Containers that nobody knows, found while the engine goes away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from pycloud.errors import EngineUnavailable
from pycloud.runtimes import RecoveredSession
from pycloud.runtimes.docker.busy_sessions import BusySessions
from pycloud.runtimes.docker.cleanup import CleanupQueue
from pycloud.runtimes.docker.engine.containers import Containers
from pycloud.runtimes.docker.engine.listing import ListedContainer
from pycloud.runtimes.docker.monitor import ContainerMonitor
from pycloud.runtimes.docker.records import ContainerRecords


class Fleeting:
    """Three containers that nobody knows, of an engine that goes away when it is asked about the third."""

    def __init__(self) -> None:
        self.asked = 0

    def list(self, _node: str) -> dict[str, ListedContainer]:
        record = {"request": "r", "digest": "d", "token": "t", "host": "h", "created": 1.0}
        labels = {"pycloud.record": json.dumps(record)}
        return {f"s{each}": ListedContainer(f"id{each}", f"s{each}", "running", labels, True) for each in range(3)}

    def inspect(self, _container: str) -> dict[str, Any]:
        self.asked += 1
        if self.asked == 3:
            raise EngineUnavailable("lost")
        return {"State": {"Running": True, "StartedAt": "2024-01-01T00:00:00Z"}}


def test_what_was_found_is_told_though_the_engine_goes_away(tmp_path: Path) -> None:
    records, told = ContainerRecords(tmp_path / "docker", "c"), list[RecoveredSession]()
    records.load()
    monitor = ContainerMonitor("c", cast(Containers, Fleeting()), records, cast(CleanupQueue, None), BusySessions())
    try:
        monitor.resync(told.extend)
    except EngineUnavailable:
        assert [each.session for each in told] == ["s0", "s1"]
    monitor.resync(told.extend)
    assert [each.session for each in told] == ["s0", "s1", "s2"]
