"""The health of Redis and of the nodes: a snapshot that is cheap enough for each second, and a report for ``doctor``.

Changes nothing. The user's permissions are determined inside a transaction that is discarded: Redis checks the
permission for each command as it is queued.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import RedisError

from pycloud.client.deprecated import deprecated_attribute
from pycloud.client.records import last_known_hosts
from pycloud.errors import RedisUnavailable
from pycloud.protocol.decoding import DecodeError, decode_heartbeat
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import HEARTBEATS_MISSED, Heartbeat
from pycloud.transport.blocking import (
    UNCONFIRMED_SUBSCRIPTION,
    ConnectionLost,
    DeadlineConnection,
    DeadlineConnectionPool,
    NotReachable,
    RedisCommand,
)

#: Age in heartbeats at which a heartbeat is overdue. The node counts as offline only after HEARTBEATS_MISSED.
OVERDUE_AFTER_HEARTBEATS = 1.4


@dataclass(frozen=True)
class HealthSnapshot:
    """Health at one moment. ``round_trip``: seconds that Redis took to answer.

    ``heartbeats``: the last one of each online node, by id; ``overdue``: ids of those whose next heartbeat is overdue.
    ``session_count``: sessions on record, ended ones included.
    """

    round_trip: float
    heartbeats: tuple[Heartbeat, ...] = ()
    overdue: frozenset[str] = frozenset()
    session_count: int = 0

    clouds = deprecated_attribute("HealthSnapshot.clouds", "heartbeats")
    silent = deprecated_attribute("HealthSnapshot.silent", "overdue")
    recorded = deprecated_attribute("HealthSnapshot.recorded", "session_count")


def read_health(pool: DeadlineConnectionPool, keys: Keys, timeout: float) -> HealthSnapshot:
    """The snapshot, within ``timeout`` seconds. Raises RedisUnavailable."""
    deadline = time.monotonic() + timeout
    index, session_count = pool.read(timeout, ("ZRANGE", keys.nodes_key, 0, -1), ("ZCARD", keys.sessions_key))
    node_keys = sorted(keys.node_key(node.decode()) for node in index)
    began = time.monotonic()
    replies = pool.read(max(0.0, deadline - began), ("EXISTS", keys.nodes_key), *_heartbeat_commands(node_keys))
    round_trip = time.monotonic() - began
    return parse_health(round_trip, replies[1::2], replies[2::2], session_count)


def parse_health(
    round_trip: float, payloads: Sequence[bytes | None], ttls: Sequence[int], session_count: int
) -> HealthSnapshot:
    """The snapshot from the values of the nodes' keys and their TTLs in milliseconds (-1: no expiry)."""
    heartbeats: list[Heartbeat] = []
    overdue = set()
    for payload, ttl in zip(payloads, ttls, strict=True):
        heartbeat = _decode_heartbeat_or_none(payload)
        if heartbeat is not None:
            heartbeats.append(heartbeat)
            if 0 <= ttl < (HEARTBEATS_MISSED - OVERDUE_AFTER_HEARTBEATS) * heartbeat.heartbeat * 1000:
                overdue.add(heartbeat.id)
    return HealthSnapshot(round_trip, tuple(heartbeats), frozenset(overdue), session_count)


def _heartbeat_commands(keys: Sequence[str]) -> list[tuple[str, str]]:
    return [command for key in keys for command in (("GET", key), ("PTTL", key))]


#: Number of round trips to Redis that are measured.
PING_COUNT = 7
#: Time to collect heartbeats: a number of heartbeats of the slowest node, within these limits in seconds.
LISTEN_HEARTBEATS, MIN_LISTEN_SECONDS, MAX_LISTEN_SECONDS = 3.5, 3.0, 15.0


@dataclass(frozen=True)
class RedisReport:
    """``info``: the fields of INFO, empty where that is not permitted. ``latency``: seconds of a median round trip.

    ``clock_offset``: seconds by which this machine's clock is ahead of Redis'. ``pubsub_limits``: bytes (hard), bytes
    and seconds (soft) of pending output of a slow subscriber, 0 for none; None: not readable.
    ``denied_client_commands``: the commands needed by requesters that this user may not execute;
    ``denied_node_commands``: those needed only by nodes; None: unknown.
    """

    info: dict[str, str]
    latency: float
    clock_offset: float
    pubsub_limits: tuple[int, int, int] | None
    denied_client_commands: tuple[str, ...] | None
    denied_node_commands: tuple[str, ...] | None


@dataclass(frozen=True)
class NodeReport:
    """A node in the index. ``heartbeat``: its last one, None while it is offline.

    ``seconds_silent``: seconds since its last heartbeat. ``sessions``: how many are on record. ``host``: of an offline
    node, from the record of any of its sessions.
    """

    id: str
    heartbeat: Heartbeat | None
    seconds_silent: float
    sessions: int
    host: str = ""


@dataclass(frozen=True)
class ReceivedHeartbeat:
    """A heartbeat as published. ``clock_offset``: seconds by which its clock was ahead of Redis' on arrival."""

    heartbeat: Heartbeat
    clock_offset: float


@dataclass(frozen=True)
class DiagnosticReport:
    """All findings.

    ``nodes``: None where this user may not read them; ``received_heartbeats`` in order of arrival, None where this user
    may not subscribe.
    """

    redis: RedisReport
    nodes: tuple[NodeReport, ...] | None
    received_heartbeats: tuple[ReceivedHeartbeat, ...] | None


class Diagnostics:
    """Examines one namespace. ``timeout``: seconds for everything except the collection of heartbeats."""

    def __init__(
        self, subscribe_pool: DeadlineConnectionPool, command_pool: DeadlineConnectionPool, keys: Keys, timeout: float
    ) -> None:
        self._subscribe_pool, self._command_pool, self._keys, self._timeout = (
            subscribe_pool,
            command_pool,
            keys,
            timeout,
        )

    def run(self) -> DiagnosticReport:
        """Create the report; takes some seconds. Raises RedisUnavailable."""
        deadline = time.monotonic() + self._timeout
        with self._command_pool.connection(deadline) as connection:
            latency, clock = _measure_latency_and_clock(connection, deadline)
            redis_report = RedisReport(
                _parse_info(connection.execute_or_error(deadline, ("INFO",))[0]),
                latency,
                time.time() - (clock + time.monotonic()),
                _parse_buffer_limits(
                    connection.execute_or_error(deadline, ("CONFIG", "GET", "client-output-buffer-limit"))[0]
                ),
                _denied_commands(connection, deadline, client_commands(self._keys)),
                _denied_commands(connection, deadline, node_commands(self._keys)),
            )
            nodes = self._read_nodes(connection, deadline, clock + time.monotonic())
        heartbeats = [node.heartbeat for node in nodes or () if node.heartbeat is not None]
        return DiagnosticReport(redis_report, nodes, self._collect_heartbeats(listen_seconds(heartbeats), clock))

    def _read_nodes(self, connection: DeadlineConnection, deadline: float, now: float) -> tuple[NodeReport, ...] | None:
        """The nodes in the index, None where that is not permitted. ``now``: Unix seconds by Redis' clock."""

        def execute(*commands: RedisCommand) -> list[Any]:
            return connection.execute_or_error(deadline, *commands) if commands else []

        index = execute(("ZRANGE", self._keys.nodes_key, 0, -1, "WITHSCORES"))[0]
        if isinstance(index, RedisError):
            return None
        last_seen = {node.decode(): float(at) for node, at in zip(index[::2], index[1::2], strict=True)}
        commands = [
            command
            for node in last_seen
            for command in (("GET", self._keys.node_key(node)), ("SCARD", self._keys.node_sessions_key(node)))
        ]
        replies = execute(*commands)
        offline = [
            node for node, heartbeat in zip(last_seen, replies[::2], strict=True) if not isinstance(heartbeat, bytes)
        ]
        hosts = last_known_hosts(execute, self._keys, offline)
        return tuple(
            NodeReport(
                node,
                _decode_heartbeat_or_none(heartbeat),
                now - last_seen[node],
                count if isinstance(count, int) else 0,
                hosts.get(node, ""),
            )
            for node, heartbeat, count in zip(last_seen, replies[::2], replies[1::2], strict=True)
        )

    def _collect_heartbeats(self, seconds: float, clock: float) -> tuple[ReceivedHeartbeat, ...] | None:
        """The heartbeats published within ``seconds``, None where subscribing is not permitted.

        ``clock``: offset of Redis' clock to the local monotonic clock, in seconds.
        """
        subscribe_deadline, received = time.monotonic() + self._timeout, []
        try:
            with self._subscribe_pool.connection(subscribe_deadline) as subscriber:
                subscriber.send(subscribe_deadline, ("SUBSCRIBE", self._keys.heartbeat_channel))
                if subscriber.read_message(subscribe_deadline) is None:
                    raise ConnectionLost(UNCONFIRMED_SUBSCRIPTION)
                listen_deadline = time.monotonic() + seconds
                while seconds and (message := subscriber.read_message(listen_deadline)) is not None:
                    heartbeat = _decode_heartbeat_or_none(message[2]) if message[:1] == [b"message"] else None
                    if heartbeat is not None:
                        received.append(ReceivedHeartbeat(heartbeat, heartbeat.time - (clock + time.monotonic())))
                subscriber.close()
        except (ConnectionLost, NotReachable):
            raise
        except RedisUnavailable:
            return None
        return tuple(received)


def listen_seconds(heartbeats: Sequence[Heartbeat]) -> float:
    """Seconds of collection in which each of these nodes sends several heartbeats; 0 without nodes."""
    if not heartbeats:
        return 0.0
    return min(
        MAX_LISTEN_SECONDS,
        max(MIN_LISTEN_SECONDS, LISTEN_HEARTBEATS * max(heartbeat.heartbeat for heartbeat in heartbeats)),
    )


def client_commands(keys: Keys) -> list[RedisCommand]:
    """One command of each kind that a requester executes."""
    session, node = keys.session_key("0"), keys.node_key("0")
    return [
        ("PUBLISH", keys.request_channel("create"), ""),
        ("PUBLISH", keys.node_channel("0"), ""),
        ("EXISTS", node),
        ("MGET", node),
        ("HGETALL", session),
        ("ZRANGE", keys.nodes_key, 0, 0),
        ("TIME",),
        ("GET", node),
        ("PTTL", node),
        *((name, keys.node_sessions_key("0")) for name in ("SCARD", "SRANDMEMBER")),
        ("ZRANGEBYSCORE", keys.sessions_key, 0, 0),
        ("XRANGE", keys.events_key, "-", "-"),
        ("XREVRANGE", keys.events_key, "-", "-"),
        ("XREAD", "STREAMS", keys.events_key, "0"),
    ]


def node_commands(keys: Keys) -> list[RedisCommand]:
    """One command of each kind that only a node executes."""
    session, nodes, pending_removals = keys.session_key("0"), keys.nodes_key, keys.pending_removals_key("0")
    return [
        ("PUBLISH", keys.response_channel("create", "0"), ""),
        ("EVAL", "return 1", 1, keys.request_key("create", "0")),
        ("EVALSHA", "0" * 40, 1, keys.request_key("create", "0")),
        ("DEL", session),
        *((name, session, "x") for name in ("HGET", "HMGET", "HDEL")),
        ("HSET", session, "x", ""),
        ("PEXPIRE", session, 1),
        ("SET", keys.node_key("0"), ""),
        ("GET", keys.node_key("0")),
        ("ZADD", nodes, 0, ""),
        ("ZREM", nodes, ""),
        ("ZSCORE", nodes, ""),
        ("ZREMRANGEBYSCORE", nodes, 0, 0),
        *((name, pending_removals, "") for name in ("SADD", "SREM", "SISMEMBER")),
        ("SMEMBERS", pending_removals),
        ("XADD", keys.events_key, "*", "event", ""),
    ]


def _denied_commands(
    connection: DeadlineConnection, deadline: float, commands: Sequence[RedisCommand]
) -> tuple[str, ...] | None:
    """The names of the commands that this user may not execute, None where unknown; nothing is executed."""
    if connection.execute_or_error(deadline, ("MULTI",)) != [b"OK"]:
        return None
    replies = connection.execute_or_error(deadline, *commands, ("DISCARD",))[:-1]
    denied = [str(command[0]) for command, reply in zip(commands, replies, strict=True) if reply != b"QUEUED"]
    return tuple(dict.fromkeys(denied))


def _measure_latency_and_clock(connection: DeadlineConnection, deadline: float) -> tuple[float, float]:
    """The median latency, and the offset of Redis' clock to the local monotonic clock, both in seconds."""
    round_trips = []
    for _ in range(PING_COUNT):
        began = time.monotonic()
        connection.execute(deadline, ("PING",))
        round_trips.append(time.monotonic() - began)
    began = time.monotonic()
    seconds, microseconds = connection.execute(deadline, ("TIME",))[0]
    middle = (began + time.monotonic()) / 2
    return statistics.median(round_trips), int(seconds) + int(microseconds) / 1e6 - middle


def _parse_info(reply: Any) -> dict[str, str]:
    if isinstance(reply, RedisError):
        return {}
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}


def _parse_buffer_limits(reply: Any) -> tuple[int, int, int] | None:
    """The subscribers' limits in ``client-output-buffer-limit``: ``normal 0 0 0 ... pubsub 33554432 8388608 60``."""
    if isinstance(reply, RedisError) or len(reply) < 2:
        return None
    words = reply[1].decode().split()
    numbers = words[words.index("pubsub") + 1 :][:3] if "pubsub" in words else []
    return (int(numbers[0]), int(numbers[1]), int(numbers[2])) if len(numbers) == 3 else None


def _decode_heartbeat_or_none(payload: Any) -> Heartbeat | None:
    """The heartbeat; None for a payload that no node has written, and for the error of a rejected command."""
    try:
        return decode_heartbeat(payload) if isinstance(payload, bytes) else None
    except DecodeError:
        return None
