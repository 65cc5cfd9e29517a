"""What an engine says of a container, read as it is spelled by engines of several kinds."""

from __future__ import annotations

from typing import Any

import pytest

from pycloud.runtimes import Usage
from pycloud.runtimes.docker.engine.stats import parse_details, parse_stats


def stats(**changes: Any) -> dict[str, Any]:
    """One reading of a container that runs."""
    return {
        "read": "1970-01-01T00:01:40.25Z",
        "pids_stats": {"current": 3},
        "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
        "memory_stats": {"usage": 5000, "stats": {"inactive_file": 1000}},
        **changes,
    }


@pytest.mark.parametrize(
    ("memory", "used"),
    [
        ({"usage": 5000, "stats": {"inactive_file": 1000}}, 4000),
        ({"usage": 5000, "stats": {"total_inactive_file": 1000}}, 4000),
        ({"usage": 5000}, 5000),
        ({"usage": 5, "stats": {"inactive_file": 1000}}, 0),
        ({}, 0),
    ],
)
def test_memory_does_not_count_what_can_be_dropped(memory: dict[str, Any], used: int) -> None:
    assert parse_stats(stats(memory_stats=memory)) == Usage(100.25, 1.5, used, 3)


@pytest.mark.parametrize(
    "changes", [{"pids_stats": {}}, {"cpu_stats": {}}, {"read": "never"}, {"memory_stats": None}, {"read": None}]
)
def test_one_that_does_not_run_uses_nothing(changes: dict[str, Any]) -> None:
    assert parse_stats(stats(**changes)) is None


def test_details_hold_what_there_is() -> None:
    inspected = {
        "Id": "f" * 64,
        "Name": "/pycloud_s",
        "Path": "sh",
        "Args": ["-c", "x"],
        "RestartCount": 2,
        "Config": {"Image": "web", "User": "", "WorkingDir": "/www"},
        "State": {"Pid": 7, "OOMKilled": False},
        "HostConfig": {"Memory": 0},
    }
    assert parse_details(inspected) == {
        "container": "f" * 12,
        "name": "pycloud_s",
        "command": ["sh", "-c", "x"],
        "restarts": 2,
        "image": "web",
        "directory": "/www",
        "pid": 7,
    }
    assert parse_details({}) == {}
