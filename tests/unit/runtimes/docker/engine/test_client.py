"""The connections to the engine."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import DockerException

from pycloud.runtimes.docker.engine.client import EngineClient


def test_the_pool_of_connections_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def client(**kwargs: Any) -> None:
        given.update(kwargs)
        raise DockerException("no engine")

    monkeypatch.setattr("docker.APIClient", client)
    engine = EngineClient("unix:///no/such/engine.sock", 1.0, 40)
    engine.connect()
    engine.disconnect()
    assert given["max_pool_size"] >= 40
