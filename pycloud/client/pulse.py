"""How Redis and the clouds are just now: read in two steps, so that whoever watches can do it every second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pycloud.protocol.decoding import DecodeError, decode_heartbeat
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import HEARTBEATS_MISSED, Heartbeat
from pycloud.transport.blocking import DeadlineConnectionPool

#: A rank that is so many heartbeats old is overdue. The cloud counts as gone only after HEARTBEATS_MISSED.
OVERDUE_AFTER_HEARTBEATS = 1.4


@dataclass(frozen=True)
class HealthSnapshot:
    """What was found. ``round_trip``: seconds that Redis took to answer. ``clouds``: the last rank of each that lives,
    by id; ``silent``: those of them whose next rank is overdue. ``recorded``: sessions on record, ended ones included.
    """

    round_trip: float
    heartbeats: tuple[Heartbeat, ...] = ()
    overdue: frozenset[str] = frozenset()
    session_count: int = 0


def read_health(pool: DeadlineConnectionPool, keys: Keys, timeout: float) -> HealthSnapshot:
    """The pulse, within ``timeout`` seconds. Raises RedisUnavailable."""
    deadline = time.monotonic() + timeout
    index, session_count = pool.read(timeout, ("ZRANGE", keys.nodes_key, 0, -1), ("ZCARD", keys.sessions_key))
    node_keys = sorted(keys.node_key(cloud.decode()) for cloud in index)
    began = time.monotonic()
    replies = pool.read(max(0.0, deadline - began), ("EXISTS", keys.nodes_key), *_heartbeat_commands(node_keys))
    round_trip = time.monotonic() - began
    return parse_health(round_trip, replies[1::2], replies[2::2], session_count)


def parse_health(
    round_trip: float, payloads: Sequence[bytes | None], ttls: Sequence[int], session_count: int
) -> HealthSnapshot:
    """What the keys of the clouds say, and how many milliseconds each has left (-1: it has no end)."""
    heartbeats: list[Heartbeat] = []
    overdue = set()
    for payload, ttl in zip(payloads, ttls, strict=True):
        try:
            heartbeat = decode_heartbeat(payload) if payload is not None else None
        except DecodeError:
            continue  # written by somebody else than a cloud
        if heartbeat is not None:
            heartbeats.append(heartbeat)
            if 0 <= ttl < (HEARTBEATS_MISSED - OVERDUE_AFTER_HEARTBEATS) * heartbeat.heartbeat * 1000:
                overdue.add(heartbeat.id)
    return HealthSnapshot(round_trip, tuple(heartbeats), frozenset(overdue), session_count)


def _heartbeat_commands(keys: Sequence[str]) -> list[tuple[str, str]]:
    return [command for key in keys for command in (("GET", key), ("PTTL", key))]
