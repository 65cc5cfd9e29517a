"""A requester made for load: requests go out in batches, and one subscription hears all answers.

It is a small part of what it measures: about 5 µs per request, where redis-py would take 50.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from statistics import median, quantiles
from time import perf_counter
from typing import Any, Self

import msgspec

from bench.line import Line

NAMESPACE = "year4000.pycloud"
OPS = ("create", "status", "remove")
#: Seconds after which a request is published again, and after which it is given up.
REPEAT, PATIENCE = 1.0, 60.0

#: By id: when it was asked, and the payload, the oldest first.
Waiting = dict[bytes, tuple[float, bytes]]


@dataclass(slots=True)
class Run:
    """What a load came to: ``latencies`` in seconds, ``answers`` in the order in which they came."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.answers) / self.seconds

    @property
    def p50(self) -> float:
        """The median latency, in ms."""
        return median(self.latencies) * 1e3

    @property
    def p99(self) -> float:
        """What 99 of 100 stay below, in ms."""
        return quantiles(self.latencies, n=100)[-1] * 1e3

    def decoded(self) -> list[dict[str, Any]]:
        """The answers as objects."""
        return [msgspec.json.decode(answer) for answer in self.answers]


class Load:
    """Asks the clouds of one namespace."""

    def __init__(self, port: int, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        self._out, self._in = Line(port, silent=True), Line(port)
        self._in.ask(("PSUBSCRIBE", *(f"{namespace}.{op}.*" for op in OPS)))
        self._repeated = 0.0
        self._ids = (f"{secrets.token_hex(4)}-{number:x}" for number in count())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._out.__exit__()
        self._in.__exit__()

    def run(self, op: str, requests: Iterable[bytes], outstanding: int) -> Run:
        """Ask all, ``outstanding`` at a time. A request is given as the inside of an object, without its id.

        What nobody has answered for REPEAT seconds is published again, as every requester does. Raises TimeoutError
        where an answer does not come at all.
        """
        run, waiting, rest = Run(), Waiting(), iter(requests)
        began = perf_counter()
        self._publish(op, islice(rest, outstanding), waiting)
        while waiting:
            came = 0
            for message in self._hear():
                now, channel = perf_counter(), message[2]
                asked = waiting.pop(channel[channel.rindex(b".") + 1 :], None) if len(message) == 4 else None
                if asked is not None:
                    came += 1
                    run.latencies.append(now - asked[0])
                    run.answers.append(message[3])
            self._publish(op, islice(rest, came), waiting)
            self._repeat(op, waiting)
        run.seconds = perf_counter() - began
        return run

    def _hear(self) -> list[Any]:
        try:
            return self._in.read(REPEAT)
        except TimeoutError:
            return []

    def _repeat(self, op: str, waiting: Waiting) -> None:
        now = perf_counter()
        if now < self._repeated + REPEAT or not waiting:
            return
        self._repeated = now
        oldest = next(iter(waiting.values()))[0]
        if now > oldest + PATIENCE:
            raise TimeoutError(f"{len(waiting)} requests ({op}) were not answered within {PATIENCE:g} s")
        again = [payload for asked, payload in waiting.values() if now > asked + REPEAT]
        self._out.send(*(("PUBLISH", f"{self._namespace}.{op}", payload) for payload in again))

    def reach(self, op: str, inside: bytes, pause: float = 0.005) -> None:
        """Ask again and again until somebody answers: who asked before that was not heard."""
        waiting = Waiting()
        while True:
            self._publish(op, iter([inside]), waiting)
            try:
                messages = self._in.read(pause)
            except TimeoutError:
                continue
            if any(len(message) == 4 for message in messages):
                return

    def _publish(self, op: str, requests: Iterator[bytes], waiting: Waiting) -> None:
        channel, commands = f"{self._namespace}.{op}", []
        for inside in requests:
            id_ = next(self._ids).encode()
            payload = b'{"id":"%b",%b}' % (id_, inside)
            commands.append(("PUBLISH", channel, payload))
            waiting[id_] = perf_counter(), payload
        if commands:
            self._out.send(*commands)


def create(script: str = "exec sleep 3600") -> bytes:
    """A create."""
    return b'"script":' + msgspec.json.encode(script)


def about(session: str) -> bytes:
    """A status or a remove."""
    return b'"session":"%b"' % session.encode()
