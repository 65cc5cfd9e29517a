"""The health check of the image: whose settings it uses, and what it finds wrong."""

from __future__ import annotations

import pytest

from pycloud.cli.healthcheck import flags_in, unhealthy_reason
from pycloud.protocol.messages import Heartbeat


def rank(**fields: object) -> Heartbeat:
    given = {"score": 1.0, "time": 1.0, "sessions": 0, "instance": "i", "version": "2", "host": "h", "heartbeat": 1.0}
    return Heartbeat(**{"id": "c1", "runtime": "docker", **given, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["/opt/pycloud/bin/python3", "/opt/pycloud/bin/pycloud"], []),
        (["/opt/pycloud/bin/python3", "/opt/pycloud/bin/pycloud", "--namespace", "n"], ["--namespace", "n"]),
        (["/sbin/docker-init", "--", "pycloud", "--namespace", "pycloud"], ["--namespace", "pycloud"]),
        (["sleep", "60"], []),
        ([], []),
    ],
)
def test_the_flags_are_those_of_the_first_process(words: list[str], flags: list[str]) -> None:
    assert flags_in(b"".join(word.encode() + b"\0" for word in words)) == flags


def test_a_cloud_is_well_while_it_is_heard_and_can_start_something() -> None:
    for well in (rank(), rank(draining=True), rank(runtimes=("docker", "script"), unavailable=("docker",))):
        assert unhealthy_reason(well) is None


def test_what_is_wrong_is_said() -> None:
    assert "no heartbeats" in (unhealthy_reason(None) or "")
    assert "does not receive" in (unhealthy_reason(rank(deaf=True)) or "")
    assert "docker" in (unhealthy_reason(rank(unavailable=("docker",))) or "")
    assert "script" in (unhealthy_reason(rank(runtimes=("docker", "script"), unavailable=("script", "docker"))) or "")
