"""Derives the findings of ``doctor``, each with advice, from a DiagnosticReport. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import pycloud
from pycloud.client.health import DiagnosticReport, NodeReport, ReceivedHeartbeat, RedisReport
from pycloud.protocol.messages import Heartbeat
from pycloud.shell.terminal.output import duration, elapsed

Level = Literal["ok", "note", "problem"]

MIN_REDIS_VERSION = (6, 2)
#: Seconds: a round trip above which users notice a delay, and a clock skew above which ages and orders are wrong.
SLOW_ROUND_TRIP, MAX_CLOCK_SKEW = 0.1, 2.0
#: Bytes: minimum hard limit of a subscriber's output buffer: some requests of the largest usual size, fully escaped.
MIN_BUFFER = 16 << 20
RECOMMENDED_BUFFER = "pubsub 32mb 8mb 60"


@dataclass(frozen=True)
class Finding:
    """``about``: ``redis``, ``clouds``, ``settings``, or a node id. ``advice``: what to do; empty: nothing."""

    level: Level
    about: str
    text: str
    advice: str = ""


def findings(facts: DiagnosticReport) -> list[Finding]:
    """All findings on Redis and the nodes."""
    found = [*check_redis(facts.redis), *check_permissions(facts.redis)]
    if facts.nodes is not None:  # otherwise check_permissions reports it
        found += check_nodes(facts.nodes)
    if facts.received_heartbeats is None:
        advice = "grant it: ACL SETUSER ... +subscribe, and the channels of the namespace"
        found.append(Finding("problem", "redis", "this Redis user may not run SUBSCRIBE", advice))
    else:
        found += check_received(facts.nodes or (), facts.received_heartbeats)
    return found


def check_redis(redis: RedisReport) -> Iterator[Finding]:
    """Findings on the server: version, round trip, role, eviction policy, buffer limits, clock."""
    info = redis.info
    name, version = (
        ("Valkey", info["valkey_version"]) if "valkey_version" in info else ("Redis", info.get("redis_version"))
    )
    round_trip = duration(redis.latency) if redis.latency >= 0.001 else f"{redis.latency * 1e6:.0f} µs"
    if version is None:
        advice = "grant it (ACL SETUSER ... +info): nodes need it to detect a restart of Redis"
        yield Finding(
            "problem", "redis", f"the round trip takes {round_trip}, but this Redis user may not run INFO", advice
        )
    elif _version_numbers(info.get("redis_version", version)) < MIN_REDIS_VERSION:
        yield Finding("problem", "redis", f"{name} {version} is too old", "install Redis 6.2 or later, or Valkey")
    else:
        yield Finding("ok", "redis", f"{name} {version}, the round trip takes {round_trip}")
    if redis.latency > SLOW_ROUND_TRIP:
        yield Finding(
            "note", "redis", f"the round trip is slow: {round_trip}", "check the network, and SLOWLOG GET on the server"
        )
    if info.get("role") == "slave":
        yield Finding("problem", "redis", "it is a read-only replica", "use the URL of the primary")
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory", "0") != "0" and policy != "noeviction":
        advice = "CONFIG SET maxmemory-policy noeviction, or give PyCloud a Redis of its own"
        yield Finding("problem", "redis", f"it evicts keys, claims included, when memory is short ({policy})", advice)
    yield from _check_pubsub_limits(redis.pubsub_limits)
    if abs(redis.clock_offset) > MAX_CLOCK_SKEW:
        yield Finding(
            "note",
            "settings",
            f"the clock of this host is {_clock_offset(redis.clock_offset)}",
            "synchronize it with NTP",
        )


def _check_pubsub_limits(limits: tuple[int, int, int] | None) -> Iterator[Finding]:
    if limits is None:
        advice = f"check that client-output-buffer-limit is at least {RECOMMENDED_BUFFER}"
        yield Finding("note", "redis", "the output buffer limit of subscribers cannot be read (CONFIG GET)", advice)
        return
    hard, soft, seconds = limits
    if 0 < hard < MIN_BUFFER or (0 < soft < MIN_BUFFER // 4 and seconds < 10):
        limit = min(filter(None, (hard, soft)))
        text = f"a subscriber with {limit} bytes of pending output is disconnected, and misses requests"
        advice = f'CONFIG SET client-output-buffer-limit "{RECOMMENDED_BUFFER}"'
        yield Finding("problem", "redis", text, advice)


def check_permissions(redis: RedisReport) -> Iterator[Finding]:
    """Findings on the permissions of this Redis user."""
    if redis.denied_client_commands is None or redis.denied_node_commands is None:
        yield Finding(
            "note", "redis", "the permissions cannot be checked without MULTI", "grant it (ACL SETUSER ... +multi)"
        )
        return
    if redis.denied_client_commands:
        text = f"this Redis user may not run {', '.join(redis.denied_client_commands)}, which pycloudctl needs"
        yield Finding("problem", "redis", text, "grant it for the keys and channels of the namespace (ACL SETUSER)")
    if redis.denied_node_commands:
        text = f"this Redis user may not run {', '.join(redis.denied_node_commands)}, which nodes need"
        yield Finding("note", "redis", text, "grant it (ACL SETUSER), unless the nodes use another user")
    if not redis.denied_client_commands and not redis.denied_node_commands:
        yield Finding("ok", "redis", "this Redis user has all permissions that pycloudctl and nodes need")


def check_nodes(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    """Findings on the nodes on record, from their last heartbeats."""
    heartbeats = [node.heartbeat for node in nodes if node.heartbeat is not None]
    if not heartbeats:
        advice = "start pycloud with this Redis (--redis) and this namespace (--namespace)"
        yield Finding("problem", "clouds", "no node is online", advice)
    else:
        sessions = sum(rank.sessions for rank in heartbeats)
        sessions_text = f"{sessions} session{'s' if sessions != 1 else ''}"
        yield Finding("ok", "clouds", f"{len(heartbeats)} of {len(nodes)} known nodes online, with {sessions_text}")
    for node in nodes:
        if node.heartbeat is None:
            yield _offline_finding(node)
    for heartbeat in heartbeats:
        yield from _check_heartbeat(heartbeat)
    versions = sorted({rank.version for rank in heartbeats} | {pycloud.__version__} if heartbeats else ())
    if len(versions) > 1:
        yield Finding("note", "clouds", f"versions differ: {', '.join(versions)}", "upgrade all nodes, and pycloudctl")


def _offline_finding(node: NodeReport) -> Finding:
    text = f"no heartbeat for {elapsed(node.seconds_silent)}{f' (on {node.host})' if node.host else ''}"
    if node.sessions:
        advice = "start it again, or check that its host reaches Redis; its sessions may still run"
        return Finding("problem", node.id, f"{text}; sessions on record: {node.sessions}", advice)
    return Finding("note", node.id, text, "start it again, or ignore it: its record expires after a week")


def _check_heartbeat(heartbeat: Heartbeat) -> Iterator[Finding]:
    about = heartbeat.id
    for runtime in heartbeat.unavailable:
        advice = f"check on {heartbeat.host} that its engine runs and that pycloud may use it"
        yield Finding("problem", about, f"it cannot start {runtime} sessions (on {heartbeat.host})", advice)
    if heartbeat.deaf:
        advice = f"check its log on {heartbeat.host}, and its connection to Redis"
        yield Finding("problem", about, "it receives no messages from Redis, so it handles no requests", advice)
    if heartbeat.copied:
        return  # check_received reports it
    if heartbeat.draining:
        advice = f"to place sessions on it again: `undrain {about}`"
        yield Finding("note", about, f"it is draining: it accepts no new sessions (on {heartbeat.host})", advice)
    elif heartbeat.capacity is not None and heartbeat.sessions >= heartbeat.capacity:
        yield Finding(
            "note",
            about,
            f"it is full: {heartbeat.sessions} of {heartbeat.capacity} sessions",
            "add a node, or raise --capacity",
        )


def check_received(nodes: Sequence[NodeReport], received: Sequence[ReceivedHeartbeat]) -> Iterator[Finding]:
    """Findings from the heartbeats received while listening: duplicate ids, clock skew, nodes without a heartbeat."""
    by_node: dict[str, list[ReceivedHeartbeat]] = defaultdict(list)
    for each in received:
        by_node[each.heartbeat.id].append(each)
    for node, from_node in by_node.items():
        yield from _check_duplicate_id(node, [each.heartbeat for each in from_node])
        ahead = max(each.clock_offset for each in from_node)  # of the heartbeat with the shortest delay
        if abs(ahead) > MAX_CLOCK_SKEW:
            host = from_node[0].heartbeat.host
            yield Finding(
                "problem", node, f"its clock is {_clock_offset(ahead)} (on {host})", "synchronize both clocks with NTP"
            )
    for known in nodes:
        if known.heartbeat is not None and known.id not in by_node:
            advice = f"run doctor again; if this repeats, check its process on {known.heartbeat.host}"
            yield Finding("note", known.id, "it is online, but sent no heartbeat during the check", advice)


def _check_duplicate_id(node: str, heartbeats: Sequence[Heartbeat]) -> Iterator[Finding]:
    """A restarted node sends the old instance, then the new one; two daemons with the same id alternate."""
    instances = [instance for instance, _ in groupby(rank.instance for rank in heartbeats)]
    hosts = " and ".join(sorted({heartbeat.host for heartbeat in heartbeats}))
    if len(instances) > 2 or any(rank.copied for rank in heartbeats):
        advice = "stop one of the two, run `pycloud --new-id` on its host, and start it again"
        yield Finding("problem", node, f"two daemons use this id, on {hosts} (a copied data directory?)", advice)
    elif len(instances) == 2:
        yield Finding("note", node, f"it was just restarted, or two daemons use its id, on {hosts}", "run doctor again")


def _clock_offset(ahead: float) -> str:
    return f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} that of Redis"


def _version_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
