"""What ``doctor`` makes of the facts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import pycloud
from pycloud.client.health import DiagnosticReport, NodeReport, ReceivedHeartbeat, RedisReport
from pycloud.protocol.messages import Heartbeat
from pycloud.shell.node_commands.config import SettingValue
from pycloud.shell.node_commands.doctor import check_settings
from pycloud.shell.node_commands.findings import Finding, findings

REDIS = RedisReport({"redis_version": "7.0.15", "role": "master"}, 0.0002, 0.0, (32 << 20, 8 << 20, 60), (), ())


def rank(cloud: str = "cccccccccc", **more: Any) -> Heartbeat:
    base = {
        "id": cloud,
        "score": 1.0,
        "time": 0.0,
        "sessions": 2,
        "instance": "i1",
        "version": pycloud.__version__,
        "host": "game7",
        "runtime": "script",
        "heartbeat": 1.0,
    }
    return Heartbeat(**{**base, **more})


def found(redis: RedisReport = REDIS, *ranks: Heartbeat, away: NodeReport | None = None, **more: Any) -> list[Finding]:
    """What is wrong where these clouds live, and each is heard."""
    clouds = [NodeReport(each.id, each, 0.5, each.sessions) for each in ranks or (rank(),)]
    heard = tuple(ReceivedHeartbeat(cloud.heartbeat, -0.01) for cloud in clouds if cloud.heartbeat)
    facts = DiagnosticReport(redis, (*clouds, *([away] if away else [])), heard)
    return [each for each in findings(dataclasses.replace(facts, **more)) if each.level != "ok"]


def one(findings: list[Finding]) -> tuple[str, str, str]:
    (only,) = findings
    assert only.advice, "each says what to do"
    return only.level, only.about, only.text


def test_where_all_is_well_nothing_is_wrong() -> None:
    assert found() == []
    assert found(REDIS, rank("a"), rank("b")) == []


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"info": {}}, "problem", "INFO"),
        ({"info": {"redis_version": "6.0.16"}}, "problem", "6.0.16 is too old"),
        ({"info": {"redis_version": "5"}}, "problem", "too old"),
        ({"info": {"redis_version": "7.2.4", "role": "slave"}}, "problem", "replica"),
        (
            {"info": {"redis_version": "7", "maxmemory": "9", "maxmemory_policy": "allkeys-lru"}},
            "problem",
            "allkeys-lru",
        ),
        ({"latency": 0.25}, "note", "slow: 250 ms"),
        ({"clock_offset": -5.0}, "note", "5.0 s behind Redis'"),
        ({"pubsub_limits": None}, "note", "cannot be read"),
        ({"pubsub_limits": (1 << 20, 0, 0)}, "problem", "1048576 bytes waiting"),
        ({"pubsub_limits": (0, 1 << 20, 1)}, "problem", "1048576 bytes waiting"),
        ({"denied_client_commands": ("PUBLISH",)}, "problem", "may not PUBLISH, which pycloudctl needs"),
        ({"denied_node_commands": ("SET",)}, "note", "may not SET, which clouds need"),
        ({"denied_client_commands": None}, "note", "cannot be told"),
    ],
)
def test_redis(change: dict[str, Any], level: str, said: str) -> None:
    finding = one(found(dataclasses.replace(REDIS, **change)))

    assert (finding[0], said in finding[2]) == (level, True), finding


@pytest.mark.parametrize(
    "info",
    [{"redis_version": "6.2.0"}, {"redis_version": "10.1"}, {"redis_version": "7.2.4", "valkey_version": "8.0.1"}],
)
def test_versions_that_will_do(info: dict[str, str]) -> None:
    assert found(dataclasses.replace(REDIS, info=info)) == []


@pytest.mark.parametrize("limits", [(0, 0, 0), (64 << 20, 0, 0), (0, 32 << 20, 60)])
def test_limits_that_will_do(limits: tuple[int, int, int]) -> None:
    assert found(dataclasses.replace(REDIS, pubsub_limits=limits)) == []


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"unavailable": ("docker",)}, "problem", "no docker sessions can be started on game7"),
        ({"deaf": True}, "problem", "does not hear"),
        ({"draining": True}, "note", "draining"),
        ({"draining": True, "copied": True}, "problem", "two daemons use this id"),
        ({"capacity": 2}, "note", "full: 2 of 2"),
    ],
)
def test_what_a_cloud_says_of_itself(change: dict[str, Any], level: str, said: str) -> None:
    finding = one(found(REDIS, rank(**change)))

    assert (finding[:2], said in finding[2]) == ((level, "cccccccccc"), True), finding


def test_what_ends_draining_whatever_began_it() -> None:
    (finding,) = found(REDIS, rank(draining=True))

    assert "undrain cccccccccc" in finding.advice


def test_versions_that_differ() -> None:
    assert "1.9.0" in one(found(REDIS, rank("a", version="1.9.0"), rank("b")))[2]


def test_nobody_lives() -> None:
    assert "no cloud lives" in one(found(nodes=(), received_heartbeats=()))[2]


def test_clouds_that_are_away() -> None:
    assert one(found(away=NodeReport("dddddddddd", None, 300, 2)))[:2] == ("problem", "dddddddddd")
    assert "(on game8); sessions of it on record: 2" in one(found(away=NodeReport("d", None, 300, 2, "game8")))[2]
    assert one(found(away=NodeReport("dddddddddd", None, 300, 0)))[::2] == ("note", "not heard of for 5m")


def test_a_cloud_that_says_nothing() -> None:
    assert "said nothing" in one(found(received_heartbeats=()))[2]


def test_this_user_may_not_listen_or_read() -> None:
    assert "may not listen" in one(found(received_heartbeats=None))[2]
    assert found(nodes=None) == []


def test_clocks() -> None:
    assert found(received_heartbeats=(ReceivedHeartbeat(rank(), -9.0), ReceivedHeartbeat(rank(), -0.1))) == [], (
        "the first was held up on its way"
    )
    finding = one(found(received_heartbeats=(ReceivedHeartbeat(rank(), 7.5), ReceivedHeartbeat(rank(), 7.0))))
    assert finding == ("problem", "cccccccccc", "its clock is 7.5 s ahead of Redis' (on game7)")


@pytest.mark.parametrize(("instances", "level"), [("aabb", "note"), ("abab", "problem"), ("abbba", "problem")])
def test_copied_ids(instances: str, level: str) -> None:
    heard = tuple(ReceivedHeartbeat(rank(instance=name, host=f"host-{name}"), 0.0) for name in instances)
    finding = one(found(received_heartbeats=heard))

    assert finding[0] == level
    assert "host-a and host-b" in finding[2]


def test_settings(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.touch(mode=0o644)
    url = "redis://:sesame@here/0"

    def wrong(value: str, source: str) -> list[Finding]:
        return [each for each in check_settings([SettingValue("redis", value, source)]) if each.level != "ok"]

    assert wrong("redis://here/0", "flag --redis") == wrong(url, "variable PYCLOUD_REDIS_URL") == []
    assert "no Redis was named" in one(wrong("redis://here/0", "default"))[2]
    assert "command line" in one(wrong(url, "flag --redis"))[2]
    assert "others can read" in one(wrong(url, f"file {file}"))[2]
    assert "sesame" not in "".join(map(str, check_settings([SettingValue("redis", url, f"file {file}")])))
    file.chmod(0o600)
    assert wrong(url, f"file {file}") == []
