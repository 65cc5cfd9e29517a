"""A keeper process for each test, and a connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.folders import let_others_pass
from tests.support.keeper import Client, KeeperProcess, keeper


@pytest.fixture
def k(tmp_path: Path) -> Iterator[KeeperProcess]:
    """A keeper on a data directory of its own, which sessions of another user can reach."""
    let_others_pass(tmp_path)
    with keeper(tmp_path / "data") as process:
        yield process


@pytest.fixture
def c(k: KeeperProcess) -> Iterator[Client]:
    """A connection to it."""
    with k.client() as client:
        yield client


@pytest.fixture
def off(tmp_path: Path) -> Iterator[KeeperProcess]:
    """A keeper that does not run yet."""
    with keeper(tmp_path / "data", start=False) as process:
        yield process
