"""The limit of a status: the smallest blocking responder that redis-py makes. ``python -m bench.responder URL``."""

from __future__ import annotations

import json
import sys

import redis

NAMESPACE = "bench.responder"


def main(url: str) -> None:
    """Answer every request on ``bench.responder.status`` until it is killed."""
    client = redis.Redis.from_url(url, protocol=2)
    pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    pubsub.subscribe(f"{NAMESPACE}.status")
    for message in pubsub.listen():
        request = json.loads(message["data"])
        answer = {"cloud": "c" * 10, "id": request["session"], "status": True, "state": "running"}
        client.publish(f"{NAMESPACE}.status.{request['id']}", json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
