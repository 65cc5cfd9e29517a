"""Checks whether a Redis answers."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def unreachable_reason(url: str, timeout: float = 2.0) -> str | None:
    """Why the Redis at ``url`` does not answer a PING within ``timeout`` seconds; None when it does."""
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=timeout, socket_timeout=timeout, retry=Retry(NoBackoff(), 0)
        ) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        return " ".join(str(error).split()).rstrip(".")
    return None
