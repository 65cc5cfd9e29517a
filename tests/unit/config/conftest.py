"""Somebody's machine, whose settings are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def root_machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, uid=0)
