"""All clouds that Redis knows, those that are away included. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pycloud.client.errors import UnusableAnswer
from pycloud.client.records import RecordReader
from pycloud.protocol.decoding import DecodeError, decode_heartbeat
from pycloud.protocol.keys import Keys, owner_of
from pycloud.protocol.messages import HEARTBEATS_MISSED, Heartbeat
from pycloud.transport.blocking import DeadlineConnectionPool


class KnownNode(msgspec.Struct, frozen=True):
    """One cloud. ``rank``: what it last said of itself, None while it is away.

    ``seen``: its last heartbeat, Unix seconds by its own clock; ``silent``: seconds since then, by Redis' clock (of one
    that is away, as far as the two clocks agree).
    ``sessions``: how many are on record. ``host``: empty where nobody knows it.
    """

    id: str
    heartbeat: Heartbeat | None
    seen: float
    silent: float
    sessions: int
    host: str


def known_nodes(
    pool: DeadlineConnectionPool, keys: Keys, record_reader: RecordReader, timeout: float
) -> list[KnownNode]:
    """Every cloud in the index, by id. Raises RedisUnavailable, and UnusableAnswer for what no cloud would write."""
    index, clock = pool.read(timeout, ("ZRANGE", keys.nodes_key, 0, -1, "WITHSCORES"), ("TIME",))
    now = int(clock[0]) + int(clock[1]) / 1e6
    last_seen = sorted((cloud.decode(), float(at)) for cloud, at in zip(index[::2], index[1::2], strict=True))
    ids = [cloud for cloud, _at in last_seen]
    payloads = pool.read(timeout, *(("GET", keys.node_key(cloud)) for cloud in ids))
    ttls = pool.read(timeout, *(("PTTL", keys.node_key(cloud)) for cloud in ids))
    counts = pool.read(timeout, *(("SCARD", keys.node_sessions_key(cloud)) for cloud in ids))
    hosts = _last_known_hosts(
        pool, keys, record_reader, timeout, [cloud for cloud, rank in zip(ids, payloads, strict=True) if not rank]
    )
    found = []
    for (cloud, seen_at), raw, ttl, count in zip(last_seen, payloads, ttls, counts, strict=True):
        heartbeat = _decode_heartbeat(raw)
        silent = now - seen_at if heartbeat is None or ttl < 0 else heartbeat.heartbeat * HEARTBEATS_MISSED - ttl / 1000
        host = heartbeat.host if heartbeat else hosts.get(cloud, "")
        found.append(KnownNode(cloud, heartbeat, seen_at, round(max(0.0, silent), 3), count, host))
    return found


def _last_known_hosts(
    pool: DeadlineConnectionPool, keys: Keys, record_reader: RecordReader, timeout: float, clouds: Sequence[str]
) -> dict[str, str]:
    """The hosts of clouds that are away, as far as the record of any session of theirs names it."""
    any_of = pool.read(timeout, *(("SRANDMEMBER", keys.node_sessions_key(cloud)) for cloud in clouds))
    found = record_reader.records([session.decode() for session in any_of if session])
    return {str(owner_of(record.id)): record.host for record in found if record.host}


def _decode_heartbeat(raw: Any) -> Heartbeat | None:
    try:
        return None if raw is None else decode_heartbeat(raw)
    except DecodeError as error:
        raise UnusableAnswer(f"what Redis holds of a cloud cannot be read: {error}") from error
