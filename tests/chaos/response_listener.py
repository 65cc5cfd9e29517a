"""Hears every answer that is published, on a subscription of its own that comes back whatever happens to Redis."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

import redis

from tests.support.requester import PREFIX

OPS = ("create", "status", "remove")
PAUSE = 0.02  # seconds between attempts to subscribe again


@dataclass(frozen=True)
class Heard:
    """One answer: when it came (monotonic seconds) and its bytes."""

    at: float
    payload: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """What it says."""
        fields: dict[str, Any] = json.loads(self.payload)
        return fields

    @property
    def error(self) -> str:
        """The error's code, empty where there is none."""
        return str(self.fields.get("error", {}).get("code", ""))


class Ears:
    """``news`` is set whenever something came; ``gaps`` counts how often the subscription was lost."""

    def __init__(self, url: str, prefix: str = PREFIX) -> None:
        self._prefix = prefix
        self._redis = redis.Redis.from_url(url, protocol=2, socket_timeout=5, socket_connect_timeout=2)
        self._heard: defaultdict[tuple[str, str], list[Heard]] = defaultdict(list)
        self._fresh: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._over, self._ready = threading.Event(), threading.Event()
        self.news = threading.Event()
        self.gaps = 0
        self._subscribed = False
        self._thread = threading.Thread(target=self._listen_for_ever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(20), "could not subscribe"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(20)
        self._redis.close()

    def of(self, op: str, request: str) -> list[Heard]:
        """All answers to a request so far."""
        with self._lock:
            return list(self._heard.get((op, request), ()))

    def fresh(self) -> list[tuple[str, str]]:
        """The requests (op, id) that were answered since the last call."""
        self.news.clear()
        with self._lock:
            fresh, self._fresh = self._fresh, []
        return fresh

    def _listen_for_ever(self) -> None:
        while not self._over.is_set():
            try:
                with self._redis.pubsub() as pubsub:  # type: ignore[no-untyped-call]
                    self._listen(pubsub)
            except (redis.RedisError, OSError):
                self.gaps += self._subscribed
                self._subscribed = False
                self._over.wait(PAUSE)

    def _listen(self, pubsub: Any) -> None:
        pubsub.psubscribe(*(f"{self._prefix}.{op}.*" for op in OPS))
        confirmed = 0
        while not self._over.is_set():
            message = pubsub.get_message(timeout=0.1)
            if message is None:
                continue
            if message["type"] == "psubscribe":
                confirmed += 1
                if confirmed == len(OPS):
                    self._subscribed = True
                    self._ready.set()
            elif message["type"] == "pmessage":
                self._note(message["channel"].decode(), message["data"])

    def _note(self, channel: str, payload: bytes) -> None:
        op, _, request = channel[len(self._prefix) + 1 :].partition(".")
        with self._lock:
            self._heard[op, request].append(Heard(monotonic(), payload))
            self._fresh.append((op, request))
        self.news.set()
