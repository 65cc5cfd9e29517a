"""The health of the nodes as their heartbeats show it, and how long the client listens for these."""

from __future__ import annotations

from pycloud.client.health import MAX_LISTEN_SECONDS, MIN_LISTEN_SECONDS, listen_seconds, parse_health
from pycloud.protocol.messages import encode
from tests.support.heartbeats import heartbeat_of


def test_how_long_to_listen() -> None:
    assert listen_seconds([]) == 0
    assert listen_seconds([heartbeat_of("c", heartbeat=0.1)]) == MIN_LISTEN_SECONDS
    assert listen_seconds([heartbeat_of("c", heartbeat=0.1), heartbeat_of("c", heartbeat=2.0)]) == 7.0
    assert listen_seconds([heartbeat_of("c", heartbeat=60.0)]) == MAX_LISTEN_SECONDS


def test_a_cloud_is_silent_before_it_is_gone() -> None:
    payloads = [encode(heartbeat_of(letter * 10)) for letter in "abc"] + [None, b"nonsense"]
    snapshot = parse_health(0.001, payloads, [2500, 1500, -1, -2, 1000], 7)
    assert [each.id[0] for each in snapshot.heartbeats] == ["a", "b", "c"]
    assert snapshot.overdue == {"b" * 10}
    assert snapshot.session_count == 7
