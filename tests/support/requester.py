"""A requester that is nothing but publish and subscribe: no client code of ours, so that it shares none of its bugs."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, Self

import redis
from redis.client import PubSub

PREFIX = "year4000.pycloud"
OPS = ("create", "status", "remove", "logs", "inspect", "drain", "follow", "stream")


class Requester:
    """Publishes requests and hears everything that is answered, in the order in which it comes."""

    def __init__(self, url: str, prefix: str = PREFIX) -> None:
        self.redis = redis.Redis.from_url(url, protocol=2)
        self.prefix = prefix
        self._heard: dict[str, list[bytes]] = {}
        self._pubsub = PubSub(self.redis.connection_pool, ignore_subscribe_messages=True)
        self._pubsub.psubscribe(*(f"{prefix}.{op}.*" for op in OPS))
        self._pubsub.get_message(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pubsub.close()
        self.redis.close()

    def publish(self, op: str, payload: bytes | dict[str, Any]) -> None:
        """Publish a request as it is."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.redis.publish(f"{self.prefix}.{op}", data)

    def answers(self, op: str, request_id: str, count: int = 1, timeout: float = 10.0) -> list[bytes]:
        """All answers to a request heard so far, once there are ``count``, or when time is up."""
        channel, deadline = f"{self.prefix}.{op}.{request_id}", time.monotonic() + timeout
        while len(self._heard.get(channel, [])) < count and (left := deadline - time.monotonic()) > 0:
            self._listen(left)
        while self._listen(0):
            pass
        return list(self._heard.get(channel, []))

    def ask(self, op: str, timeout: float = 10.0, **fields: Any) -> dict[str, Any]:
        """Publish a request under a fresh id (or ``id``) and return its first answer."""
        fields.setdefault("id", secrets.token_hex(4))
        self.publish(op, fields)
        answers = self.answers(op, fields["id"], 1, timeout)
        assert answers, f"{op} {fields['id']} was not answered within {timeout} s"
        answer: dict[str, Any] = json.loads(answers[-1])
        return answer

    def create(self, script: str, **fields: Any) -> dict[str, Any]:
        """Create a session; its answer."""
        return self.ask("create", script=script, **fields)

    def status(self, session: str, **fields: Any) -> dict[str, Any]:
        """Ask for a session."""
        return self.ask("status", session=session, **fields)

    def remove(self, session: str, **fields: Any) -> dict[str, Any]:
        """Remove a session."""
        return self.ask("remove", session=session, timeout=30, **fields)

    def ask_cloud(self, cloud: str, op: str, /, **fields: Any) -> dict[str, Any]:
        """The same on a cloud's direct channel."""
        request_id = secrets.token_hex(4)
        self.publish(f"cloud.{cloud}", {"op": op, "id": request_id, **fields})
        (answer,) = self.answers(op, request_id)
        said: dict[str, Any] = json.loads(answer)
        return said

    def _listen(self, timeout: float) -> bool:
        message = self._pubsub.get_message(timeout=timeout)
        if message is None or message["type"] != "pmessage":
            return message is not None
        self._heard.setdefault(message["channel"].decode(), []).append(message["data"])
        return True
