"""The limit of a list: reads all sessions with redis-py, in one pipeline. ``python -m bench.reader URL``."""

from __future__ import annotations

import sys

import redis

KEY = "{year4000.pycloud}:"


def main(url: str) -> None:
    """Read them, and do nothing with them."""
    client = redis.Redis.from_url(url, protocol=2, decode_responses=True)
    pipe = client.pipeline(transaction=False)
    for session in client.zrange(f"{KEY}sessions", 0, -1):
        pipe.hgetall(KEY + "session:" + str(session))
    assert all(pipe.execute())


if __name__ == "__main__":
    main(sys.argv[1])
