"""What ``doctor`` makes of the facts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import pycloud
from pycloud.client.health import DiagnosticReport, NodeReport, ReceivedHeartbeat, RedisReport
from pycloud.protocol.messages import Heartbeat
from pycloud.shell.node_commands.findings import Finding, findings
from tests.support.findings import only_finding

REDIS = RedisReport({"redis_version": "7.0.15", "role": "master"}, 0.0002, 0.0, (32 << 20, 8 << 20, 60), (), ())


def heartbeat(node: str = "cccccccccc", **fields: Any) -> Heartbeat:
    usual = {
        "id": node,
        "score": 1.0,
        "time": 0.0,
        "sessions": 2,
        "instance": "i1",
        "version": pycloud.__version__,
        "host": "game7",
        "runtime": "script",
        "heartbeat": 1.0,
    }
    return Heartbeat(**{**usual, **fields})


def found(
    redis: RedisReport = REDIS, *heartbeats: Heartbeat, away: NodeReport | None = None, **fields: Any
) -> list[Finding]:
    """What is wrong where these nodes are online, and a heartbeat of each is received."""
    nodes = [NodeReport(each.id, each, 0.5, each.sessions) for each in heartbeats or (heartbeat(),)]
    received = tuple(ReceivedHeartbeat(node.heartbeat, -0.01) for node in nodes if node.heartbeat)
    facts = DiagnosticReport(redis, (*nodes, *([away] if away else [])), received)
    return [each for each in findings(dataclasses.replace(facts, **fields)) if each.level != "ok"]


def test_where_all_is_well_nothing_is_wrong() -> None:
    assert found() == []
    assert found(REDIS, heartbeat("a"), heartbeat("b")) == []


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
        ({"clock_offset": -5.0}, "note", "5.0 s behind that of Redis"),
        ({"pubsub_limits": None}, "note", "cannot be read"),
        ({"pubsub_limits": (1 << 20, 0, 0)}, "problem", "1048576 bytes of pending output"),
        ({"pubsub_limits": (0, 1 << 20, 1)}, "problem", "1048576 bytes of pending output"),
        ({"denied_client_commands": ("PUBLISH",)}, "problem", "may not run PUBLISH, which pycloudctl needs"),
        ({"denied_node_commands": ("SET",)}, "note", "may not run SET, which nodes need"),
        ({"denied_client_commands": None}, "note", "cannot be checked"),
    ],
)
def test_redis(change: dict[str, Any], level: str, said: str) -> None:
    finding = only_finding(found(dataclasses.replace(REDIS, **change)))

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
        ({"unavailable": ("docker",)}, "problem", "cannot start docker sessions (on game7)"),
        ({"deaf": True}, "problem", "receives no messages"),
        ({"draining": True}, "note", "draining"),
        ({"draining": True, "copied": True}, "problem", "two daemons use this id"),
        ({"capacity": 2}, "note", "full: 2 of 2 sessions"),
    ],
)
def test_what_a_heartbeat_reports(change: dict[str, Any], level: str, said: str) -> None:
    finding = only_finding(found(REDIS, heartbeat(**change)))

    assert (finding[:2], said in finding[2]) == ((level, "cccccccccc"), True), finding


def test_what_ends_draining_whatever_began_it() -> None:
    (finding,) = found(REDIS, heartbeat(draining=True))

    assert "undrain cccccccccc" in finding.advice


def test_versions_that_differ() -> None:
    assert "1.9.0" in only_finding(found(REDIS, heartbeat("a", version="1.9.0"), heartbeat("b")))[2]


def test_no_node_is_online() -> None:
    assert "no node is online" in only_finding(found(nodes=(), received_heartbeats=()))[2]


def test_nodes_that_are_offline() -> None:
    assert only_finding(found(away=NodeReport("dddddddddd", None, 300, 2)))[:2] == ("problem", "dddddddddd")
    assert "(on game8); sessions on record: 2" in only_finding(found(away=NodeReport("d", None, 300, 2, "game8")))[2]
    assert only_finding(found(away=NodeReport("dddddddddd", None, 300, 0)))[::2] == ("note", "no heartbeat for 5 min")


def test_a_node_without_a_heartbeat() -> None:
    assert "sent no heartbeat during the check" in only_finding(found(received_heartbeats=()))[2]


def test_this_user_may_not_subscribe_or_read() -> None:
    assert "may not run SUBSCRIBE" in only_finding(found(received_heartbeats=None))[2]
    assert found(nodes=None) == []


def test_clocks() -> None:
    def ahead(*offsets: float) -> tuple[ReceivedHeartbeat, ...]:
        return tuple(ReceivedHeartbeat(heartbeat(), offset) for offset in offsets)

    assert found(received_heartbeats=ahead(-9.0, -0.1)) == [], "the first was held up on its way"
    finding = only_finding(found(received_heartbeats=ahead(7.5, 7.0)))
    assert finding == ("problem", "cccccccccc", "its clock is 7.5 s ahead of that of Redis (on game7)")


@pytest.mark.parametrize(("instances", "level"), [("aabb", "note"), ("abab", "problem"), ("abbba", "problem")])
def test_copied_ids(instances: str, level: str) -> None:
    received = tuple(ReceivedHeartbeat(heartbeat(instance=name, host=f"host-{name}"), 0.0) for name in instances)
    finding = only_finding(found(received_heartbeats=received))

    assert finding[0] == level
    assert "host-a and host-b" in finding[2]
