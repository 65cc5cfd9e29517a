"""All clouds that Redis knows, those that are away included. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pycloud.client.errors import UnusableAnswer
from pycloud.client.records import Records
from pycloud.protocol.decoding import DecodeError, decode_rank
from pycloud.protocol.keys import Names, owner_of
from pycloud.protocol.messages import HEARTBEATS_MISSED, Rank
from pycloud.transport.blocking import Lines


class KnownCloud(msgspec.Struct, frozen=True):
    """One cloud. ``rank``: what it last said of itself, None while it is away.

    ``seen``: its last heartbeat, Unix seconds by its own clock; ``silent``: seconds since then, by Redis' clock (of one
    that is away, as far as the two clocks agree).
    ``sessions``: how many are on record. ``host``: empty where nobody knows it.
    """

    id: str
    rank: Rank | None
    seen: float
    silent: float
    sessions: int
    host: str


def known_clouds(lines: Lines, names: Names, records: Records, timeout: float) -> list[KnownCloud]:
    """Every cloud in the index, by id. Raises RedisUnavailable, and UnusableAnswer for what no cloud would write."""
    index, clock = lines.read(timeout, ("ZRANGE", names.clouds_key, 0, -1, "WITHSCORES"), ("TIME",))
    now = int(clock[0]) + int(clock[1]) / 1e6
    seen = sorted((cloud.decode(), float(at)) for cloud, at in zip(index[::2], index[1::2], strict=True))
    ids = [cloud for cloud, _at in seen]
    ranks = lines.read(timeout, *(("GET", names.cloud_key(cloud)) for cloud in ids))
    lives = lines.read(timeout, *(("PTTL", names.cloud_key(cloud)) for cloud in ids))
    counts = lines.read(timeout, *(("SCARD", names.cloud_sessions_key(cloud)) for cloud in ids))
    hosts = _hosts(lines, names, records, timeout, [cloud for cloud, rank in zip(ids, ranks, strict=True) if not rank])
    found = []
    for (cloud, at), raw, left, count in zip(seen, ranks, lives, counts, strict=True):
        rank = _rank(raw)
        silent = now - at if rank is None or left < 0 else rank.heartbeat * HEARTBEATS_MISSED - left / 1000
        host = rank.host if rank else hosts.get(cloud, "")
        found.append(KnownCloud(cloud, rank, at, round(max(0.0, silent), 3), count, host))
    return found


def _hosts(lines: Lines, names: Names, records: Records, timeout: float, clouds: Sequence[str]) -> dict[str, str]:
    """The hosts of clouds that are away, as far as the record of any session of theirs names it."""
    any_of = lines.read(timeout, *(("SRANDMEMBER", names.cloud_sessions_key(cloud)) for cloud in clouds))
    found = records.records([session.decode() for session in any_of if session])
    return {str(owner_of(record.id)): record.host for record in found if record.host}


def _rank(raw: Any) -> Rank | None:
    try:
        return None if raw is None else decode_rank(raw)
    except DecodeError as error:
        raise UnusableAnswer(f"what Redis holds of a cloud cannot be read: {error}") from error
