"""What the line below the prompt is made from: the health of Redis and of two nodes, and counts of sessions."""

from __future__ import annotations

from pycloud.client.health import HealthSnapshot
from pycloud.shell.live.health import Health
from pycloud.shell.live.session_cache import SessionsSnapshot
from tests.support.heartbeats import heartbeat_of

ADDRESS = "redis.example.net:6379"
#: Redis is up, one node is online, and the heartbeat of another is overdue.
HEALTH = Health().after_snapshot(
    HealthSnapshot(0.0023, (heartbeat_of("a" * 10), heartbeat_of("b" * 10)), frozenset(["b" * 10])), 1.0
)
SESSIONS = SessionsSnapshot(complete=True, live_by_node={"a" * 10: 1234, "d" * 10: 2})
