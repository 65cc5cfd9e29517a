"""What has to go, where some of it does not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gevent
from gevent.event import Event

from pycloud.errors import EngineUnavailable
from pycloud.runtimes.docker.cleanup import CleanupQueue
from pycloud.runtimes.docker.engine.containers import Containers
from pycloud.runtimes.docker.records import ContainerRecord, ContainerRecords, Stage


def test_one_that_stays_is_not_tried_again_for_the_sake_of_others(tmp_path: Path) -> None:
    records, tries = ContainerRecords(tmp_path / "docker", "c"), list[str]()

    def remove(container: str) -> bool:
        tries.append(container)
        raise EngineUnavailable("it took too long")

    engine = SimpleNamespace(connected=Event(), connected_at=0.0)
    engine.connected.set()
    cleanup = CleanupQueue(cast(Any, engine), cast(Containers, SimpleNamespace(remove=remove)), records)
    records.load()
    cleanup.start()
    cleanup.add(ContainerRecord("s", Stage.RUNNING, 1.0, container="c"))
    for _ in range(20):
        cleanup.schedule("other")
        gevent.idle()
    assert tries == ["c"]
    cleanup.schedule("s")
    gevent.idle()
    assert len(tries) == 2
    cleanup.schedule()  # the engine is back
    gevent.idle()
    assert len(tries) == 3
    cleanup.stop()
