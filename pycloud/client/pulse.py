"""How Redis and the clouds are just now: read in two steps, so that whoever watches can do it every second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pycloud.protocol.decoding import DecodeError, decode_rank
from pycloud.protocol.keys import Names
from pycloud.protocol.messages import HEARTBEATS_MISSED, Rank
from pycloud.transport.blocking import Lines

#: A rank that is so many heartbeats old is overdue. The cloud counts as gone only after HEARTBEATS_MISSED.
OVERDUE = 1.4


@dataclass(frozen=True)
class Pulse:
    """What was found. ``round_trip``: seconds that Redis took to answer. ``clouds``: the last rank of each that lives,
    by id; ``silent``: those of them whose next rank is overdue. ``recorded``: sessions on record, ended ones included.
    """

    round_trip: float
    clouds: tuple[Rank, ...] = ()
    silent: frozenset[str] = frozenset()
    recorded: int = 0


def read_pulse(lines: Lines, names: Names, timeout: float) -> Pulse:
    """The pulse, within ``timeout`` seconds. Raises RedisUnavailable."""
    until = time.monotonic() + timeout
    index, recorded = lines.read(timeout, ("ZRANGE", names.clouds_key, 0, -1), ("ZCARD", names.sessions_key))
    keys = sorted(names.cloud_key(cloud.decode()) for cloud in index)
    began = time.monotonic()
    replies = lines.read(max(0.0, until - began), ("EXISTS", names.clouds_key), *_questions(keys))
    round_trip = time.monotonic() - began
    return judge(round_trip, replies[1::2], replies[2::2], recorded)


def judge(round_trip: float, payloads: Sequence[bytes | None], lives: Sequence[int], recorded: int) -> Pulse:
    """What the keys of the clouds say, and how many milliseconds each has left (-1: it has no end)."""
    clouds: list[Rank] = []
    silent = set()
    for payload, left in zip(payloads, lives, strict=True):
        try:
            rank = decode_rank(payload) if payload is not None else None
        except DecodeError:
            continue  # written by somebody else than a cloud
        if rank is not None:
            clouds.append(rank)
            if 0 <= left < (HEARTBEATS_MISSED - OVERDUE) * rank.heartbeat * 1000:
                silent.add(rank.id)
    return Pulse(round_trip, tuple(clouds), frozenset(silent), recorded)


def _questions(keys: Sequence[str]) -> list[tuple[str, str]]:
    return [question for key in keys for question in (("GET", key), ("PTTL", key))]
