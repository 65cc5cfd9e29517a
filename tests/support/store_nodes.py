"""Clouds that share a real Redis, without daemons: what their ledgers and registries do to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast
from uuid import uuid4

import redis

from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import RemoveResponse
from pycloud.protocol.session import Session
from pycloud.store.requests import Claim, RequestStore
from pycloud.store.sessions import SessionStore
from pycloud.transport.pipeline import RedisPipeline
from tests.support.plain_pipeline import PlainPipeline

A, B, C, D = ("a" * 10, "b" * 10, "c" * 10, "d" * 10)
NAMES = Keys("test.pycloud")


@dataclass
class Shared:
    """What one cloud shares with the others."""

    bus: PlainPipeline
    ledger: RequestStore
    registry: SessionStore


def share(client: redis.Redis) -> dict[str, Shared]:
    """Four clouds on one Redis."""
    made = {}
    for cloud in (A, B, C, D):
        bus = PlainPipeline(client)
        parts = (cast(RedisPipeline, bus), NAMES, cloud, 3600.0)
        made[cloud] = Shared(bus, RequestStore(*parts), SessionStore(*parts))
    return made


def claim_of(request_id: str = "", digest: str = "d1") -> Claim:
    """A claim with a token of its own."""
    return Claim("create", request_id or uuid4().hex, digest)


def again(claim: Claim) -> Claim:
    """Another cloud's claim of the same request."""
    return replace(claim, token=uuid4().hex)


def session_for(cloud: str, claim: Claim) -> Session:
    """A running session that a claim came to."""
    session = Session(uuid4().hex[:10] + cloud, claim.id, claim.digest, claim.token, "host", 1000.0)
    session.mark_running(40000, 1001.0)
    return session


def response(cloud: str) -> RemoveResponse:
    """Any answer."""
    return RemoveResponse(cloud, "s", status=True)


def lapse(client: redis.Redis, claim: Claim) -> None:
    """Let the lease of a claim run out now."""
    client.hset(NAMES.request_key(claim.op, claim.id), "lease", 1)
    client.zadd(NAMES.claims_key, {claim.member: 1})
