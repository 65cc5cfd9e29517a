"""Follows the output of a session: asks its node for a stream, reads it, and asks again wherever that breaks.

Blocking; reads only. ``StreamPosition`` decides, without I/O, what is new, what is missing and what came twice.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import UNSET

from pycloud.client.errors import NoCloud, NotFound, RequestRefused, Unsettled
from pycloud.client.exchange import REDIS_TIMEOUT, Exchange, backoff
from pycloud.client.request import build_request, decode_response
from pycloud.errors import EngineUnavailable, PyCloudError, RedisUnavailable, TooManyStreams
from pycloud.protocol.keys import Keys, owner_of
from pycloud.protocol.log_stream import decode_output
from pycloud.protocol.messages import (
    ACK,
    CLOSE,
    KEEPALIVES_PER_LEASE,
    FollowRequest,
    FollowResponse,
    StreamClosed,
    StreamEnd,
    StreamKeepalive,
    StreamMessage,
    StreamOutput,
    StreamRequest,
    StreamSkipped,
)
from pycloud.transport.blocking import ConnectionLost, DeadlineConnection, DeadlineConnectionPool


@dataclass(frozen=True)
class Output:
    """What the session wrote, from byte ``offset`` on."""

    offset: int
    data: bytes


@dataclass(frozen=True)
class Skipped:
    """So many bytes from ``offset`` on are lost to this viewer; ``size`` None: nobody knows how many."""

    offset: int
    size: int | None


@dataclass(frozen=True)
class Ended:
    """No more will come. ``state`` is the session's; ``exit_code`` and ``reason`` as far as they are known."""

    offset: int
    state: str
    exit_code: int | None = None
    reason: str | None = None


LogItem = Output | Skipped | Ended


class StreamPosition:
    """``offset``: what comes next. ``place``: what the owner wants back to find that again."""

    def __init__(self) -> None:
        self.offset = 0
        self.resume_token: str | None = None
        #: Where something was missing last time that the owner was asked anew.
        self._gap_requested_at: int | None = None

    def start_at(self, offset: int, resume_token: str | None = None) -> None:
        """Nothing was read yet; it begins here."""
        self.offset, self.resume_token = offset, resume_token

    def apply(self, message: StreamMessage) -> list[LogItem] | None:
        """What a message comes to; None: something before it is missing, and the owner is to be asked anew.

        Where that was asked for in vain it is lost.
        """
        if not isinstance(message, StreamOutput | StreamSkipped | StreamKeepalive | StreamEnd):
            return []
        gap = message.offset - self.offset
        if gap > 0 and self._gap_requested_at != self.offset:
            self._gap_requested_at = self.offset
            return None
        items: list[LogItem] = []
        if gap > 0:
            items.append(self._skip(message.offset))
        if isinstance(message, StreamOutput):
            items += self._new_output(message)
        elif isinstance(message, StreamSkipped):
            if message.bytes is None:
                items.append(Skipped(self.offset, None))
            elif message.offset + message.bytes > self.offset:
                items.append(self._skip(message.offset + message.bytes))
        elif isinstance(message, StreamEnd):
            code = message.exit_code if isinstance(message.exit_code, int) else None
            items.append(Ended(self.offset, message.state, code, message.reason or None))
        return items

    def _skip(self, to: int) -> Skipped:
        lost, self.offset = Skipped(self.offset, to - self.offset), to
        return lost

    def _new_output(self, message: StreamOutput) -> list[Output]:
        data = decode_output(message)[self.offset - message.offset :]
        if message.place is not UNSET:
            self.resume_token = message.place
        if not data:
            return []
        start, self.offset = self.offset, self.offset + len(data)
        return [Output(start, data)]


#: Seconds that a listener waits at once: after so many a ``close`` by another thread is noticed.
POLL_SECONDS = 0.5
#: Seconds that a question for a stream may take once there was one: then it is asked again.
REOPEN_TIMEOUT = 5.0
#: A viewer says what it has dealt with when it comes to this share of the window.
ACKS_PER_WINDOW = 4
#: So many streams that are closed at once are more than the end of a lease, or of a daemon.
CLOSES_COUNTED_AS_LOSS = 3
#: Refusals after which a stream that has broken is asked for again.
RETRYABLE_CODES = frozenset({TooManyStreams.code, EngineUnavailable.code})
#: What a session's cloud says that has no such session (any more).
UNKNOWN_STATE = "unknown"

#: Called with the error when the stream is lost, and with None when it goes on.
OnStreamLoss = Callable[[PyCloudError | None], None]


class StreamLost(PyCloudError):
    """The stream has broken, or is over without an end: its cloud is to be asked for another one."""


class LogFollower(Iterator[LogItem]):
    """The output of ``session``, piece by piece. ``close()`` it, or use it in a ``with`` block.

    ``fields`` say where it begins, as in a follow request, ``timeout`` in how many seconds the first answer has to be
    there. Used by one thread at a time, but any may close it.
    """

    def __init__(
        self,
        subscribe_pool: DeadlineConnectionPool,
        command_pool: DeadlineConnectionPool,
        keys: Keys,
        session: str,
        fields: Mapping[str, Any],
        timeout: float,
        on_loss: OnStreamLoss,
    ) -> None:
        self._subscribe_pool, self._command_pool, self._keys, self._session = (
            subscribe_pool,
            command_pool,
            keys,
            session,
        )
        self._fields, self._on_loss = dict(fields), on_loss
        self._position = StreamPosition()
        self._lock, self._closed = threading.Lock(), False
        self._pending: deque[LogItem] = deque()
        self._losses = self._consecutive_closes = 0
        self._finished = self._opened = False
        self._connection_stack: contextlib.ExitStack = contextlib.ExitStack()
        self._connection: DeadlineConnection | None = None
        self._stream = ""
        self._window, self._acknowledged_offset, self._lease = 0, 0, 0.0
        self._last_received_at = self._last_ack_at = 0.0
        self._open_stream(timeout)

    def __next__(self) -> LogItem:
        """The next piece. Raises what ends it for good: RequestRefused, say, where its cloud will not serve it."""
        with self._lock:
            while not self._pending:
                if self._finished or self._closed:
                    self._finish()
                    raise StopIteration
                self._step()
            return self._pending.popleft()

    def close(self) -> None:
        """End the stream; the session goes on."""
        self._closed = True
        with self._lock:
            self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _step(self) -> None:
        """Hear something, or mend what broke."""
        try:
            if self._connection is None:
                self._open_stream(REOPEN_TIMEOUT)
            self._receive()
        except (StreamLost, RedisUnavailable, NoCloud, Unsettled) as error:
            self._handle_loss(error)
        except NotFound as error:
            self._pending.append(Ended(self._position.offset, UNKNOWN_STATE, reason=error.message))
            self._finished = True
        except RequestRefused as error:
            if error.code not in RETRYABLE_CODES:
                raise
            self._handle_loss(error)

    def _open_stream(self, timeout: float) -> None:
        """Ask for a stream: heard before it is asked for. Raises what a request raises, and NotFound."""
        deadline = time.monotonic() + min(timeout, REDIS_TIMEOUT)
        if self._opened:
            self._send(CLOSE)  # the last one may still be there, and hold a place
        self._stream = secrets.token_hex(10)
        try:
            self._connection = self._connection_stack.enter_context(self._subscribe_pool.connection(deadline))
            self._subscribe(self._connection, deadline)
            response = self._request_stream(timeout)
        except BaseException:
            self._disconnect()
            raise
        if not self._opened:
            self._position.start_at(response.offset or 0, response.place or None)
        self._opened = True
        self._acknowledged_offset = self._position.offset
        self._window, self._lease = response.window or 0, response.lease or 0.0
        self._last_received_at = self._last_ack_at = time.monotonic()
        if self._consecutive_closes < CLOSES_COUNTED_AS_LOSS:
            self._report_recovery()

    def _request_stream(self, timeout: float) -> FollowResponse:
        fields = self._fields
        if self._opened:
            fields = {name: fields[name] for name in ("once", "window", "lease") if name in fields}
            fields["offset"] = self._position.offset
            if self._position.resume_token is not None:
                fields["place"] = self._position.resume_token
        request = build_request(FollowRequest.op, {"session": self._session, **fields}, self._stream)
        raw = Exchange(
            self._subscribe_pool, self._command_pool, self._keys, request, timeout, lambda _event: None
        ).run()
        response = decode_response(raw, FollowResponse)
        if response.error:
            raise RequestRefused(response.error.code, response.error.message, response)
        if not response.status:
            raise NotFound(f"cloud {response.cloud} knows no session {response.id}")
        return response

    def _subscribe(self, connection: DeadlineConnection, deadline: float) -> None:
        channel = self._channel()
        connection.send(deadline, ("SUBSCRIBE", channel))
        while (message := connection.read_message(deadline)) is not None:
            if message[:2] == [b"subscribe", channel.encode()]:
                return
        raise ConnectionLost("Redis does not confirm the subscription; is it frozen or overloaded?")

    def _receive(self) -> None:
        """What comes next, or nothing for a while."""
        assert self._connection is not None
        self._acknowledge_if_due()
        message = self._connection.read_message(
            time.monotonic() + min(POLL_SECONDS, self._lease / KEEPALIVES_PER_LEASE)
        )
        now = time.monotonic()
        if message is None and now - self._last_received_at > self._lease:
            raise StreamLost(f"nothing is heard of cloud {owner_of(self._session)}, which the session belongs to")
        if message is None or message[:2] != [b"message", self._channel().encode()]:
            return
        self._last_received_at = now
        self._handle_message(bytes(message[2]))

    def _handle_message(self, payload: bytes) -> None:
        message = _decode_message(payload)
        if message is None:
            return
        if isinstance(message, StreamClosed):
            self._consecutive_closes += 1
            if self._consecutive_closes >= CLOSES_COUNTED_AS_LOSS:
                raise StreamLost(f"cloud {owner_of(self._session)} has closed the stream: {message.reason}")
            self._disconnect()  # that alone is no loss: it is asked for another one
            return
        try:
            items = self._position.apply(message)
        except ValueError as error:
            raise StreamLost(f"something came in the stream that no cloud would send: {error}") from error
        if items is None:
            self._disconnect()  # not lost, merely asked for anew where something is missing
            return
        self._consecutive_closes = 0
        self._report_recovery()
        self._pending += items
        self._finished = any(isinstance(piece, Ended) for piece in items)

    def _acknowledge_if_due(self) -> None:
        """Say what was dealt with, where that is much, and now and then in any case."""
        due = time.monotonic() - self._last_ack_at >= self._lease / KEEPALIVES_PER_LEASE
        if due or self._position.offset - self._acknowledged_offset >= self._window // ACKS_PER_WINDOW:
            self._send(ACK)
            self._acknowledged_offset, self._last_ack_at = self._position.offset, time.monotonic()

    def _send(self, kind: str) -> None:
        message = StreamRequest(self._stream, self._session, kind, self._position.offset)
        channel = self._keys.node_channel(owner_of(self._session) or "")
        deadline = time.monotonic() + REDIS_TIMEOUT
        with self._command_pool.connection(deadline) as publisher:
            publisher.execute(deadline, ("PUBLISH", channel, encode_stream_request(message)))

    def _handle_loss(self, error: PyCloudError) -> None:
        self._disconnect()
        if not self._losses:
            self._on_loss(error)
        time.sleep(backoff(self._losses))
        self._losses += 1

    def _report_recovery(self) -> None:
        if self._losses:
            self._losses = 0
            self._on_loss(None)

    def _disconnect(self) -> None:
        """A line that was subscribed is fit for nothing else: it is closed, and opens again when it is needed."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._connection_stack.close()

    def _finish(self) -> None:
        if self._connection is not None and not self._finished:
            with contextlib.suppress(RedisUnavailable):
                self._send(CLOSE)
        self._finished = True
        self._disconnect()

    def _channel(self) -> str:
        return self._keys.response_channel(StreamRequest.op, self._stream)


def encode_stream_request(message: StreamRequest) -> bytes:
    """What goes over the direct channel of the owner."""
    fields = {"id": message.id, "session": message.session, "kind": message.kind, "offset": message.offset}
    return msgspec.json.encode({"op": message.op, **fields})


def _decode_message(payload: bytes) -> StreamMessage | None:
    """A message of a stream; None for what only a newer cloud would say, or somebody else."""
    try:
        message: StreamMessage = msgspec.json.decode(payload, type=StreamMessage)
    except (ValueError, RecursionError):
        return None
    return message
