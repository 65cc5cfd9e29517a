"""A load generator: publishes requests in batches and receives all responses over one subscription.

It is a small part of the measured cost: about 5 µs per request, where redis-py would take 50.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from statistics import median, quantiles
from time import perf_counter
from typing import Any, Self

import hiredis
import msgspec

#: Seconds to connect, and to wait for a reply of Redis.
CONNECTION_TIMEOUT = 30.0
NAMESPACE = "year4000.pycloud"
OPS = ("create", "status", "remove")
#: Seconds after which an unanswered request is published again.
RESEND_INTERVAL = 1.0
#: Seconds after which an unanswered request is an error.
REQUEST_TIMEOUT = 60.0

#: Unanswered requests by id, the oldest first: when each was published (perf_counter), and its payload.
Pending = dict[bytes, tuple[float, bytes]]


class RawConnection:
    """A connection to Redis with the least CPU per command: packed commands out, parsed replies in.

    ``port``: of a Redis on loopback. ``silent``: turns replies off, so that nothing needs to be read.
    """

    def __init__(self, port: int, *, silent: bool = False) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), CONNECTION_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        if silent:
            self.send(("CLIENT", "REPLY", "OFF"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, *commands: tuple[str | bytes | int | float, ...]) -> None:
        """Send all commands in one write."""
        # The type stub of hiredis declares a tuple of exactly one element.
        self._socket.sendall(b"".join([hiredis.pack_command(each) for each in commands]))  # type: ignore[arg-type]

    def read(self, timeout: float = CONNECTION_TIMEOUT) -> list[Any]:
        """The replies received, at least one. Raises TimeoutError where none arrives within ``timeout`` seconds."""
        self._socket.settimeout(timeout)
        while True:
            replies = []
            while (reply := self._reader.gets()) is not False:
                replies.append(reply)
            if replies:
                return replies
            data = self._socket.recv(1 << 18)
            if not data:
                raise ConnectionError("Redis hung up")
            self._reader.feed(data)

    def execute(self, *commands: tuple[str | bytes | int | float, ...]) -> list[Any]:
        """Send commands and return one reply for each."""
        self.send(*commands)
        replies: list[Any] = []
        while len(replies) < len(commands):
            replies += self.read()
        return replies


@dataclass(slots=True)
class LoadResult:
    """The result of one load: ``latencies`` in seconds and ``responses``, both in the order of arrival."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    responses: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Responses per second."""
        return len(self.responses) / self.seconds

    @property
    def p50(self) -> float:
        """The median latency, in ms."""
        return median(self.latencies) * 1e3

    @property
    def p99(self) -> float:
        """The 99th percentile of the latency, in ms."""
        return quantiles(self.latencies, n=100)[-1] * 1e3

    def decoded(self) -> list[dict[str, Any]]:
        """The responses as objects."""
        return [msgspec.json.decode(response) for response in self.responses]


class LoadGenerator:
    """Sends requests to the nodes of one namespace."""

    def __init__(self, port: int, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        self._publisher, self._subscriber = RawConnection(port, silent=True), RawConnection(port)
        self._subscriber.execute(("PSUBSCRIBE", *(f"{namespace}.{op}.*" for op in OPS)))
        self._last_resend = 0.0
        self._ids = (f"{secrets.token_hex(4)}-{number:x}" for number in count())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._publisher.__exit__()
        self._subscriber.__exit__()

    def run(self, op: str, requests: Iterable[bytes], outstanding: int) -> LoadResult:
        """Send all requests, ``outstanding`` of them at a time.

        A request is the inside of a JSON object without its id, as ``create_request`` makes it. A request without a
        response is published again every RESEND_INTERVAL, as every requester does. Raises TimeoutError where a response
        does not arrive within REQUEST_TIMEOUT.
        """
        result, pending, rest = LoadResult(), Pending(), iter(requests)
        began = perf_counter()
        self._publish(op, islice(rest, outstanding), pending)
        while pending:
            answered = 0
            for message in self._read_messages():
                now, channel = perf_counter(), message[2]
                request = pending.pop(channel[channel.rindex(b".") + 1 :], None) if len(message) == 4 else None
                if request is not None:
                    answered += 1
                    result.latencies.append(now - request[0])
                    result.responses.append(message[3])
            self._publish(op, islice(rest, answered), pending)
            self._resend(op, pending)
        result.seconds = perf_counter() - began
        return result

    def _read_messages(self) -> list[Any]:
        try:
            return self._subscriber.read(RESEND_INTERVAL)
        except TimeoutError:
            return []

    def _resend(self, op: str, pending: Pending) -> None:
        now = perf_counter()
        if now < self._last_resend + RESEND_INTERVAL or not pending:
            return
        self._last_resend = now
        oldest = next(iter(pending.values()))[0]
        if now > oldest + REQUEST_TIMEOUT:
            raise TimeoutError(f"{len(pending)} requests ({op}) were not answered within {REQUEST_TIMEOUT:g} s")
        again = [payload for published, payload in pending.values() if now > published + RESEND_INTERVAL]
        self._publisher.send(*(("PUBLISH", f"{self._namespace}.{op}", payload) for payload in again))

    def run_until_answered(self, op: str, request: bytes, pause: float = 0.005) -> None:
        """Publish a request every ``pause`` seconds until one is answered.

        For a node that is starting: requests published before its subscription are lost.
        """
        pending = Pending()
        while True:
            self._publish(op, iter([request]), pending)
            try:
                messages = self._subscriber.read(pause)
            except TimeoutError:
                continue
            if any(len(message) == 4 for message in messages):
                return

    def _publish(self, op: str, requests: Iterator[bytes], pending: Pending) -> None:
        channel, commands = f"{self._namespace}.{op}", []
        for request in requests:
            id_ = next(self._ids).encode()
            payload = b'{"id":"%b",%b}' % (id_, request)
            commands.append(("PUBLISH", channel, payload))
            pending[id_] = perf_counter(), payload
        if commands:
            self._publisher.send(*commands)


def create_request(script: str = "exec sleep 3600") -> bytes:
    """The fields of a create, for ``LoadGenerator.run``."""
    return b'"script":' + msgspec.json.encode(script)


def session_request(session: str) -> bytes:
    """The fields of a status or a remove of ``session``, for ``LoadGenerator.run``."""
    return b'"session":"%b"' % session.encode()
