"""A cloud made of one thread, for what a real one cannot be made to show: silence, late answers, nonsense.

It says that it lives, hears requests, writes down each, and answers what its ``reply`` function returns. ``Obedient``
is a reply function that behaves like a cloud whose sessions are mere records.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Any, Self

import redis

from pycloud.protocol.keys import DEFAULT_NAMESPACE, Keys
from pycloud.protocol.messages import Heartbeat, encode

Fields = dict[str, Any]


@dataclass(frozen=True)
class Heard:
    """One request: where and when it came (monotonic), its bytes, and what they say."""

    channel: str
    op: str
    payload: bytes
    fields: Fields
    at: float


#: Given what was heard and how often this id was heard before: the answer as object or bytes; None keeps silent.
Reply = Callable[[Heard, int], Fields | bytes | None]


def silent(heard: Heard, before: int) -> None:
    """Answers nothing, ever."""


class FakeCloud:
    """``heard`` lists every request so far. Comes back by itself where Redis goes away."""

    def __init__(self, url: str, reply: Reply, *, cloud: str = "cccccccccc", names: Keys | None = None) -> None:
        self.cloud, self.names = cloud, names or Keys(DEFAULT_NAMESPACE)
        self.heard: list[Heard] = []
        #: Fields of its heartbeat other than the usual ones: change them, and ``announce``.
        self.heartbeat_fields: dict[str, Any] = {}
        self.redis: Any = redis.Redis.from_url(url, protocol=2, socket_timeout=5)
        self._reply = reply
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def announce(self) -> None:
        """Say, for the rest of the test, that this cloud lives."""
        usual: dict[str, Any] = {
            "id": self.cloud,
            "score": 0.5,
            "time": time.time(),
            "sessions": 0,
            "instance": "i1",
            "version": "2.0.0",
            "host": "here",
            "runtime": "script",
            "heartbeat": 1.0,
        }
        heartbeat = Heartbeat(**{**usual, **self.heartbeat_fields})
        self.redis.zadd(self.names.nodes_key, {self.cloud: time.time()})
        self.redis.set(self.names.node_key(self.cloud), encode(heartbeat))

    def retire(self) -> None:
        """Look dead, as one does whose heartbeat has stopped; it still hears what is published."""
        self.redis.delete(self.names.node_key(self.cloud))

    def __enter__(self) -> Self:
        self.announce()
        self._thread.start()
        assert self._ready.wait(10), "the fake cloud could not subscribe"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(10)
        self.redis.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                with self.redis.pubsub(ignore_subscribe_messages=False) as listener:
                    self._listen(listener)
            except (redis.ConnectionError, redis.TimeoutError):
                self._over.wait(0.02)

    def _listen(self, listener: Any) -> None:
        channels = [self.names.request_channel(op) for op in ("create", "status", "remove")]
        listener.subscribe(*channels, self.names.node_channel(self.cloud))
        confirmed = 0
        while not self._over.is_set():
            message = listener.get_message(timeout=0.02)
            if message is not None and message["type"] == "subscribe":
                confirmed += 1
                if confirmed == len(channels) + 1:
                    self.announce()
                    self._ready.set()
            elif message is not None:
                self._handle(message["channel"].decode(), message["data"])

    def _handle(self, channel: str, payload: bytes) -> None:
        fields = json.loads(payload)
        op = fields.get("op") or channel.rpartition(".")[2]
        heard = Heard(channel, op, payload, fields, time.monotonic())
        before = sum(1 for other in self.heard if other.fields.get("id") == fields.get("id"))
        self.heard.append(heard)
        answer = self._reply(heard, before)
        if answer is not None:
            spelled = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.redis.publish(self.names.response_channel(op, fields["id"]), spelled)


@dataclass
class Obedient:
    """Plays a cloud: creates, knows and removes records of sessions, in memory and (given ``redis``) in Redis."""

    cloud: str = "cccccccccc"
    redis: Any = None
    names: Keys = field(default_factory=Keys)
    output: bytes = b"hello\n"
    sessions: dict[str, str] = field(default_factory=dict)
    draining: bool = False
    _numbers: Iterator[int] = field(default_factory=count)

    def __call__(self, heard: Heard, before: int) -> Fields:
        """What a cloud would answer."""
        answer: Fields = getattr(self, "_" + heard.op)(heard.fields)
        return {"cloud": self.cloud, **answer}

    def add(self, state: str = "running", session: str | None = None, **more: str) -> str:
        """A new session record; returns its id."""
        session = session or self._next_id()
        self.sessions[session] = state
        if self.redis is not None:
            now = f"{time.time():.6f}"
            record = {"cloud": self.cloud, "state": state, "host": "here", "port": "4000", "created": now, **more}
            self.redis.zadd(self.names.sessions_key, {session: float(now)})
            self.redis.hset(self.names.session_key(session), mapping=record)
            if name := more.get("name"):
                self.redis.hset(self.names.name_key(name), mapping={"session": session, "state": "live"})
        return session

    def _next_id(self) -> str:
        """As spread as a random one, and the same in each run: a test that types a prefix meets no other by chance."""
        return hashlib.sha256(str(next(self._numbers)).encode()).hexdigest()[:10] + self.cloud

    def _create(self, fields: Fields) -> Fields:
        if "refuse" in fields["script"]:
            return {"id": None, "error": {"code": "start_failed", "message": "no such interpreter"}}
        named = {"name": fields["name"]} if "name" in fields else {}
        labels = {"labels": json.dumps(fields["labels"])} if "labels" in fields else {}
        return {"id": self.add(**named, **labels), "host": "here", "port": 4000, "state": "running"}

    def _status(self, fields: Fields) -> Fields:
        session = fields["session"]
        state = self.sessions.get(session)
        alive = state in ("starting", "running")
        return {"id": session, "status": alive} | ({"state": state, "host": "here", "port": 4000} if state else {})

    def _remove(self, fields: Fields) -> Fields:
        session = fields["session"]
        there = self.sessions.pop(session, None) is not None
        if self.redis is not None:
            self.redis.zrem(self.names.sessions_key, session)
            self.redis.delete(self.names.session_key(session))
        return {"id": session, "status": there}

    def _inspect(self, fields: Fields) -> Fields:
        figures = {"cpu_percent": 97.5, "cpu_seconds": 12.31, "memory": 4096000, "processes": 3, "uptime": 133.2}
        alive = self.sessions.get(fields["session"]) in ("starting", "running")
        about = {"figures": figures} if alive else {}
        known = {"runtime": "script", "details": {"pid": 7, "more": [1]}} if fields["session"] in self.sessions else {}
        return {**self._status(fields), **known, **about}

    def _drain(self, fields: Fields) -> Fields:
        self.draining = fields["draining"]
        return {
            "id": self.cloud,
            "status": True,
            "draining": self.draining,
            "sessions": len(self.sessions),
            "kept": True,
        }

    def _logs(self, fields: Fields) -> Fields:
        session = fields["session"]
        if session not in self.sessions:
            return {"id": session, "status": False}
        data = base64.b64encode(self.output[-fields.get("bytes", 65536) :]).decode()
        return {"id": session, "status": True, "offset": 0, "data": data, "encoding": "base64"}
