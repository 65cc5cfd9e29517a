"""What ``doctor`` makes of the facts: findings, each with what to do about it. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import pycloud
from pycloud.client.examine import CloudFacts, Facts, Heard, RedisFacts
from pycloud.protocol.messages import Rank
from pycloud.shell.terminal.output import age, duration

Level = Literal["ok", "note", "problem"]

OLDEST_REDIS = (6, 2)
#: Seconds: a round trip that people notice, and clocks that make ages and orders wrong.
SLOW, SKEW = 0.1, 2.0
#: Bytes that a listener must be able to have waiting: some requests of the largest usual size, spelled at length.
LEAST_BUFFER = 16 << 20
WANTED_BUFFER = "pubsub 32mb 8mb 60"


@dataclass(frozen=True)
class Finding:
    """``about``: redis, clouds, a cloud's id, or settings. ``advice``: what to do; empty where all is well."""

    level: Level
    about: str
    text: str
    advice: str = ""


def findings(facts: Facts) -> list[Finding]:
    """All that is to be said of Redis and the clouds."""
    found = [*of_redis(facts.redis), *of_rights(facts.redis)]
    if facts.clouds is not None:  # otherwise the rights have said so
        found += of_clouds(facts.clouds)
    if facts.heard is None:
        advice = "allow it (ACL SETUSER ... +subscribe, and the channels of the namespace)"
        found.append(Finding("problem", "redis", "this user may not listen (SUBSCRIBE)", advice))
    else:
        found += of_heard(facts.clouds or (), facts.heard)
    return found


def of_redis(redis: RedisFacts) -> Iterator[Finding]:
    """The server itself."""
    info = redis.info
    name, version = (
        ("Valkey", info["valkey_version"]) if "valkey_version" in info else ("Redis", info.get("redis_version"))
    )
    trip = duration(redis.latency) if redis.latency >= 0.001 else f"{redis.latency * 1e6:.0f} µs"
    if version is None:
        advice = "allow it (ACL SETUSER ... +info): clouds need it to notice a restart"
        yield Finding("problem", "redis", f"reached in {trip}, but this user may not ask for INFO", advice)
    elif _numbers(info.get("redis_version", version)) < OLDEST_REDIS:
        yield Finding("problem", "redis", f"{name} {version} is too old", "install Redis 6.2 or later, or Valkey")
    else:
        yield Finding("ok", "redis", f"{name} {version}, a round trip takes {trip}")
    if redis.latency > SLOW:
        yield Finding("note", "redis", f"it is slow: {trip}", "look at the way to it, and at SLOWLOG GET there")
    if info.get("role") == "slave":
        yield Finding("problem", "redis", "it is a replica, which nobody can write to", "name the primary instead")
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory", "0") != "0" and policy != "noeviction":
        advice = "CONFIG SET maxmemory-policy noeviction, or give PyCloud a Redis of its own"
        yield Finding("problem", "redis", f"it throws keys away when memory is short ({policy}), claims too", advice)
    yield from _of_limits(redis.pubsub_limits)
    if abs(redis.ahead) > SKEW:
        yield Finding("note", "settings", f"this machine's clock is {_apart(redis.ahead)} Redis'", "let NTP set it")


def _of_limits(limits: tuple[int, int, int] | None) -> Iterator[Finding]:
    if limits is None:
        advice = f"see that client-output-buffer-limit holds at least {WANTED_BUFFER}"
        yield Finding("note", "redis", "what a slow listener may have waiting cannot be read (CONFIG GET)", advice)
        return
    hard, soft, seconds = limits
    if 0 < hard < LEAST_BUFFER or (0 < soft < LEAST_BUFFER // 4 and seconds < 10):
        text = f"a listener with {min(filter(None, (hard, soft)))} bytes waiting is cut off, and misses requests"
        advice = f'CONFIG SET client-output-buffer-limit "{WANTED_BUFFER}"'
        yield Finding("problem", "redis", text, advice)


def of_rights(redis: RedisFacts) -> Iterator[Finding]:
    """What this user may do."""
    if redis.denied is None or redis.denied_to_cloud is None:
        yield Finding(
            "note", "redis", "what this user may do cannot be told (MULTI)", "allow it (ACL SETUSER ... +multi)"
        )
        return
    if redis.denied:
        text = f"this user may not {', '.join(redis.denied)}, which pycloudctl needs"
        yield Finding("problem", "redis", text, "allow it for the keys and channels of the namespace (ACL SETUSER)")
    if redis.denied_to_cloud:
        text = f"this user may not {', '.join(redis.denied_to_cloud)}, which clouds need"
        yield Finding("note", "redis", text, "nothing, where clouds use another user; otherwise ACL SETUSER")
    if not redis.denied and not redis.denied_to_cloud:
        yield Finding("ok", "redis", "this user may do all that pycloudctl and clouds need")


def of_clouds(clouds: Sequence[CloudFacts]) -> Iterator[Finding]:
    """Who is there, and what each says of itself."""
    ranks = [cloud.rank for cloud in clouds if cloud.rank is not None]
    if not ranks:
        advice = "start pycloud, with this Redis (--redis) and this namespace (--namespace)"
        yield Finding("problem", "clouds", "no cloud lives", advice)
    else:
        sessions = sum(rank.sessions for rank in ranks)
        held = f"{sessions} session{'s' if sessions != 1 else ''}"
        yield Finding("ok", "clouds", f"{len(ranks)} of {len(clouds)} known live, with {held}")
    for cloud in clouds:
        if cloud.rank is None:
            yield _of_absent(cloud)
    for rank in ranks:
        yield from _of_rank(rank)
    versions = sorted({rank.version for rank in ranks} | {pycloud.__version__} if ranks else ())
    if len(versions) > 1:
        yield Finding(
            "note", "clouds", f"versions differ: {', '.join(versions)}", "upgrade all of them, pycloudctl too"
        )


def _of_absent(cloud: CloudFacts) -> Finding:
    text = f"not heard of for {age(cloud.silent)}{f' (on {cloud.host})' if cloud.host else ''}"
    if cloud.sessions:
        advice = "start it again: its sessions go on there; or look whether its host still reaches Redis"
        return Finding("problem", cloud.id, f"{text}; sessions of it on record: {cloud.sessions}", advice)
    return Finding("note", cloud.id, text, "start it again, or do nothing: it is forgotten after a week")


def _of_rank(rank: Rank) -> Iterator[Finding]:
    about = rank.id
    for runtime in rank.unavailable:
        advice = f"see there whether its engine runs and pycloud may use it (on {rank.host})"
        yield Finding("problem", about, f"no {runtime} sessions can be started on {rank.host}", advice)
    if rank.deaf:
        advice = f"look at its log on {rank.host}, and at its way to Redis"
        yield Finding("problem", about, "it does not hear what is published, so it takes no requests", advice)
    if rank.copied:
        return  # what was heard of the two says so
    if rank.draining:
        advice = f"when it shall take sessions again: `undrain {about}`"
        yield Finding("note", about, f"it takes nothing new (draining), on {rank.host}", advice)
    elif rank.capacity is not None and rank.sessions >= rank.capacity:
        yield Finding(
            "note", about, f"it is full: {rank.sessions} of {rank.capacity}", "add a host, or raise --capacity"
        )


def of_heard(clouds: Sequence[CloudFacts], heard: Sequence[Heard]) -> Iterator[Finding]:
    """What the clouds said while somebody listened."""
    by_cloud: dict[str, list[Heard]] = defaultdict(list)
    for each in heard:
        by_cloud[each.rank.id].append(each)
    for cloud, said in by_cloud.items():
        yield from _of_copies(cloud, [each.rank for each in said])
        ahead = max(each.ahead for each in said)  # the one that was on its way for the shortest time
        if abs(ahead) > SKEW:
            host = said[0].rank.host
            yield Finding(
                "problem", cloud, f"its clock is {_apart(ahead)} Redis' (on {host})", "let NTP set both clocks"
            )
    for known in clouds:
        if known.rank is not None and known.id not in by_cloud:
            advice = f"ask again in a while; is it frozen, or has it just ended (on {known.rank.host})?"
            yield Finding("note", known.id, "it seems to live, but said nothing meanwhile", advice)


def _of_copies(cloud: str, ranks: Sequence[Rank]) -> Iterator[Finding]:
    """One that is started again says first the old and then the new instance; two that live speak by turns."""
    turns = [instance for instance, _ in groupby(rank.instance for rank in ranks)]
    hosts = " and ".join(sorted({rank.host for rank in ranks}))
    if len(turns) > 2 or any(rank.copied for rank in ranks):
        advice = "stop one of the two, run `pycloud --new-id` there, and start it again"
        yield Finding("problem", cloud, f"two daemons use this id, on {hosts} (a copied data directory?)", advice)
    elif len(turns) == 2:
        yield Finding("note", cloud, f"it was started again just now, or two use its id, on {hosts}", "ask once more")


def _apart(ahead: float) -> str:
    return f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
