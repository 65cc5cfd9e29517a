"""Nodes as a requester knows them from Redis: one that is online, and one that is offline."""

from __future__ import annotations

from typing import Any

from pycloud.client.records import KnownNode
from pycloud.protocol.messages import Heartbeat

ONLINE_ID, OFFLINE_ID = "c" * 10, "d" * 10


def online_node(node: str = ONLINE_ID, silent: float = 0.5, host: str = "host.test", **fields: Any) -> KnownNode:
    """A node that is online; ``silent``: seconds since its last heartbeat, ``fields``: of that heartbeat."""
    usual = {"score": 12.5, "time": 1e9, "sessions": 3, "instance": "i", "version": "2.0.0", "runtime": "script"}
    heartbeat = Heartbeat(**{"id": node, "host": host, "heartbeat": 1.0, **usual, **fields})
    return KnownNode(node, heartbeat, 1e9, silent, 3, host)


def offline_node(node: str = OFFLINE_ID, host: str = "far") -> KnownNode:
    """A node that is offline."""
    return KnownNode(node, None, 1e9, 100.0, 2, host)
