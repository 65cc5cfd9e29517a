"""The health of Redis, as the prompt knows it."""

from __future__ import annotations

from pycloud.client.health import HealthSnapshot
from pycloud.shell.live.health import Health, redis_address
from tests.support.live_status import ADDRESS


def test_where_redis_is_without_its_password() -> None:
    assert redis_address("redis://user:***@redis.example.net/0") == ADDRESS
    assert redis_address("redis://") == "localhost:6379"
    assert redis_address("unix:///run/redis.sock") == "/run/redis.sock"


def test_since_when() -> None:
    health = Health().after_outage("a", 1.0).after_outage("b", 2.0)
    assert (health.up, health.since, health.error) == (False, 1.0, "b")
    assert health.after_snapshot(HealthSnapshot(0.0), 3.0).after_snapshot(HealthSnapshot(0.0), 4.0).since == 3.0
