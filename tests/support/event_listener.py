"""What clouds tell of their sessions, heard from the moment on at which somebody begins to listen."""

from __future__ import annotations

import json
from typing import Any

from redis.client import PubSub

from tests.support.requester import Requester
from tests.support.waiting import wait_until


class Events:
    """All events since it was made, in their order."""

    def __init__(self, requester: Requester) -> None:
        self._pubsub = PubSub(requester.redis.connection_pool)
        self._pubsub.subscribe(f"{requester.prefix}.events")
        wait_until(lambda: (self._pubsub.get_message(timeout=1) or {}).get("type") == "subscribe")
        self._heard: list[dict[str, Any]] = []

    def all(self, session: str | None = None) -> list[dict[str, Any]]:
        """Those heard so far; of one session, or of all."""
        while message := self._pubsub.get_message():
            self._heard.append(json.loads(message["data"]))
        return [each for each in self._heard if session in (None, each.get("session"))]

    def names(self, session: str) -> list[str]:
        """What has happened to a session."""
        return [str(each["event"]) for each in self.all(session)]

    def first(self, event: str) -> dict[str, Any]:
        """The first of a kind, waited for."""
        return wait_until(lambda: [each for each in self.all() if each["event"] == event])[0]
