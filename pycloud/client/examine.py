"""Looks Redis and the clouds over, for whoever judges what is found. Changes nothing.

What this user may do is found out inside a transaction that is thrown away: Redis checks each command as it is queued.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import RedisError

from pycloud.errors import RedisUnavailable
from pycloud.protocol.decoding import DecodeError, decode_rank
from pycloud.protocol.keys import Names
from pycloud.protocol.messages import Rank
from pycloud.transport.blocking import Command, Line, LineLost, Lines, NotReachable

#: How often the way to Redis and back is measured.
PINGS = 7
#: Listened to are so many heartbeats of the slowest cloud, and for so many seconds at least and at most.
HEARTBEATS, SHORTEST, LONGEST = 3.5, 3.0, 15.0


@dataclass(frozen=True)
class RedisFacts:
    """``info``: what INFO says, empty where it may not be asked. ``latency``: seconds, of a usual round trip.

    ``ahead``: seconds that this machine's clock is ahead of Redis'. ``pubsub_limits``: bytes (hard), bytes and seconds
    (soft) that a slow listener may have waiting, 0 for none; None: not to be read. ``denied`` are commands that this
    user may not give, of those that a requester needs, ``denied_to_cloud`` those that only clouds need; None: unknown.
    """

    info: dict[str, str]
    latency: float
    ahead: float
    pubsub_limits: tuple[int, int, int] | None
    denied: tuple[str, ...] | None
    denied_to_cloud: tuple[str, ...] | None


@dataclass(frozen=True)
class CloudFacts:
    """A cloud in the index. ``rank``: its last, None while it is away. ``silent``: seconds since it was heard of.

    ``sessions``: how many are on record. ``host``: of one that is away, as far as the record of any session names it.
    """

    id: str
    rank: Rank | None
    silent: float
    sessions: int
    host: str = ""


@dataclass(frozen=True)
class Heard:
    """A rank as it was published. ``ahead``: seconds that its clock seemed to be ahead of Redis' when it came."""

    rank: Rank
    ahead: float


@dataclass(frozen=True)
class Facts:
    """All that was found.

    ``clouds``: None where this user may not read them; ``heard`` in its order, None where this user may not listen.
    """

    redis: RedisFacts
    clouds: tuple[CloudFacts, ...] | None
    heard: tuple[Heard, ...] | None


class Examiner:
    """Examines one namespace. ``timeout``: seconds for all but the listening."""

    def __init__(self, ears: Lines, mouths: Lines, names: Names, timeout: float) -> None:
        self._ears, self._mouths, self._names, self._timeout = ears, mouths, names, timeout

    def examine(self) -> Facts:
        """Look everything over; takes some seconds. Raises RedisUnavailable."""
        until = time.monotonic() + self._timeout
        with self._mouths.line(until) as line:
            latency, clock = _measure(line, until)
            facts = RedisFacts(
                _info(line.tries(until, ("INFO",))[0]),
                latency,
                time.time() - (clock + time.monotonic()),
                _limits(line.tries(until, ("CONFIG", "GET", "client-output-buffer-limit"))[0]),
                _denied(line, until, for_requesters(self._names)),
                _denied(line, until, for_clouds(self._names)),
            )
            clouds = self._clouds(line, until, clock + time.monotonic())
        ranks = [cloud.rank for cloud in clouds or () if cloud.rank is not None]
        return Facts(facts, clouds, self._listen(listening(ranks), clock))

    def _clouds(self, line: Line, until: float, now: float) -> tuple[CloudFacts, ...] | None:
        """``now``: Redis' clock."""
        index = line.tries(until, ("ZRANGE", self._names.clouds_key, 0, -1, "WITHSCORES"))[0]
        if isinstance(index, RedisError):
            return None
        beats = {cloud.decode(): float(at) for cloud, at in zip(index[::2], index[1::2], strict=True)}
        asked = [
            command
            for cloud in beats
            for command in (("GET", self._names.cloud_key(cloud)), ("SCARD", self._names.cloud_sessions_key(cloud)))
        ]
        replies = line.tries(until, *asked) if asked else []
        away = [cloud for cloud, rank in zip(beats, replies[::2], strict=True) if not isinstance(rank, bytes)]
        hosts = self._hosts(line, until, away)
        return tuple(
            CloudFacts(
                cloud,
                _rank(rank),
                now - beats[cloud],
                count if isinstance(count, int) else 0,
                hosts.get(cloud, ""),
            )
            for cloud, rank, count in zip(beats, replies[::2], replies[1::2], strict=True)
        )

    def _hosts(self, line: Line, until: float, clouds: Sequence[str]) -> dict[str, str]:
        """Where clouds that are away were, by any session of theirs."""
        names = self._names
        sessions = _texts(line, until, [("SRANDMEMBER", names.cloud_sessions_key(cloud)) for cloud in clouds])
        hosts = _texts(line, until, [("HGET", names.session_key(session), "host") for session in sessions])
        return dict(zip(clouds, hosts, strict=True))

    def _listen(self, seconds: float, clock: float) -> tuple[Heard, ...] | None:
        """What is said on the rank channel. ``clock``: what Redis' clock is ahead of our monotonic one."""
        soon, heard = time.monotonic() + self._timeout, []
        try:
            with self._ears.line(soon) as ear:
                ear.send(soon, ("SUBSCRIBE", self._names.rank_channel))
                if ear.hear(soon) is None:
                    raise LineLost("Redis does not confirm the subscription; is it frozen or overloaded?")
                until = time.monotonic() + seconds
                while seconds and (message := ear.hear(until)) is not None:
                    rank = _rank(message[2]) if message[:1] == [b"message"] else None
                    if rank is not None:
                        heard.append(Heard(rank, rank.time - (clock + time.monotonic())))
                ear.close()
        except (LineLost, NotReachable):
            raise
        except RedisUnavailable:
            return None
        return tuple(heard)


def listening(ranks: Sequence[Rank]) -> float:
    """Seconds to listen, so that each of these clouds is heard several times; 0 where there are none."""
    if not ranks:
        return 0.0
    return min(LONGEST, max(SHORTEST, HEARTBEATS * max(rank.heartbeat for rank in ranks)))


def for_requesters(names: Names) -> list[Command]:
    """One command of each kind that a requester gives."""
    session, cloud = names.session_key("0"), names.cloud_key("0")
    return [
        ("PUBLISH", names.request_channel("create"), ""),
        ("PUBLISH", names.cloud_channel("0"), ""),
        ("EXISTS", cloud),
        ("MGET", cloud),
        ("HGETALL", session),
        ("ZRANGE", names.clouds_key, 0, 0),
        ("TIME",),
        ("GET", cloud),
        ("PTTL", cloud),
        *((name, names.cloud_sessions_key("0")) for name in ("SCARD", "SRANDMEMBER")),
        ("ZRANGEBYSCORE", names.sessions_key, 0, 0),
        ("XRANGE", names.events_key, "-", "-"),
        ("XREVRANGE", names.events_key, "-", "-"),
        ("XREAD", "STREAMS", names.events_key, "0"),
    ]


def for_clouds(names: Names) -> list[Command]:
    """One command of each kind that only a cloud gives."""
    session, clouds, wishes = names.session_key("0"), names.clouds_key, names.wishes_key("0")
    return [
        ("PUBLISH", names.response_channel("create", "0"), ""),
        ("EVAL", "return 1", 1, names.request_key("create", "0")),
        ("EVALSHA", "0" * 40, 1, names.request_key("create", "0")),
        ("DEL", session),
        *((name, session, "x") for name in ("HGET", "HMGET", "HDEL")),
        ("HSET", session, "x", ""),
        ("PEXPIRE", session, 1),
        ("SET", names.cloud_key("0"), ""),
        ("GET", names.cloud_key("0")),
        ("ZADD", clouds, 0, ""),
        ("ZREM", clouds, ""),
        ("ZSCORE", clouds, ""),
        ("ZREMRANGEBYSCORE", clouds, 0, 0),
        *((name, wishes, "") for name in ("SADD", "SREM", "SISMEMBER")),
        ("SMEMBERS", wishes),
        ("XADD", names.events_key, "*", "event", ""),
    ]


def _denied(line: Line, until: float, commands: Sequence[Command]) -> tuple[str, ...] | None:
    """The names of those that would be refused; nothing is carried out."""
    if line.tries(until, ("MULTI",)) != [b"OK"]:
        return None
    replies = line.tries(until, *commands, ("DISCARD",))[:-1]
    refused = [str(command[0]) for command, reply in zip(commands, replies, strict=True) if reply != b"QUEUED"]
    return tuple(dict.fromkeys(refused))


def _measure(line: Line, until: float) -> tuple[float, float]:
    """The latency, and what Redis' clock is ahead of our monotonic one, in seconds."""
    trips = []
    for _ in range(PINGS):
        began = time.monotonic()
        line.calls(until, ("PING",))
        trips.append(time.monotonic() - began)
    began = time.monotonic()
    seconds, microseconds = line.calls(until, ("TIME",))[0]
    middle = (began + time.monotonic()) / 2
    return statistics.median(trips), int(seconds) + int(microseconds) / 1e6 - middle


def _info(reply: Any) -> dict[str, str]:
    if isinstance(reply, RedisError):
        return {}
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}


def _limits(reply: Any) -> tuple[int, int, int] | None:
    """What ``client-output-buffer-limit`` says of listeners: ``normal 0 0 0 ... pubsub 33554432 8388608 60``."""
    if isinstance(reply, RedisError) or len(reply) < 2:
        return None
    words = reply[1].decode().split()
    numbers = words[words.index("pubsub") + 1 :][:3] if "pubsub" in words else []
    return (int(numbers[0]), int(numbers[1]), int(numbers[2])) if len(numbers) == 3 else None


def _texts(line: Line, until: float, commands: Sequence[Command]) -> list[str]:
    """The replies; empty where there is none, or it is refused."""
    replies = line.tries(until, *commands) if commands else []
    return [reply.decode(errors="replace") if isinstance(reply, bytes) else "" for reply in replies]


def _rank(payload: Any) -> Rank | None:
    try:
        return decode_rank(payload) if isinstance(payload, bytes) else None
    except DecodeError:
        return None
