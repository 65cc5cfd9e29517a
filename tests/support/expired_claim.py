"""A request that a cloud claimed, which is gone: as it stands in Redis for whoever takes it over."""

from __future__ import annotations

import redis
from redis.typing import EncodableT, FieldT

from pycloud.protocol.keys import Keys
from tests.support.decode import decode_request


def leave_claimed(client: redis.Redis, op: str, request_id: str, payload: bytes) -> None:
    """Put the claim of a cloud that nobody knows there, in one transaction; its lease ran out long ago."""
    names = Keys()
    claim: dict[FieldT, EncodableT] = {
        "digest": decode_request(op, payload, len(payload)).digest,
        "token": "t",
        "cloud": "0" * 10,
        "run": str(client.info("server")["run_id"]),
        "lease": 1,
        "taken": 0,
        "payload": payload,
    }
    with client.pipeline() as pipe:
        pipe.hset(names.request_key(op, request_id), mapping=claim)
        pipe.zadd(names.claims_key, {f"{op}:{request_id}": 1})
        pipe.execute()
