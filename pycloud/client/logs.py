"""Follows the output of a session: opens a stream at its node, reads it, and opens another one whenever that breaks.

Blocking; reads only. ``StreamPosition`` decides, without I/O, which output is new, missing or repeated.
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
from pycloud.client.request import build_request, decode_response, unknown_session
from pycloud.errors import EngineUnavailable, PyCloudError, RedisUnavailable, TooManyStreams
from pycloud.protocol.keys import Keys, owner_of
from pycloud.protocol.log_stream import decode_output
from pycloud.protocol.messages import (
    ACK,
    CLOSE,
    FollowResponse,
    StreamClosed,
    StreamEnd,
    StreamKeepalive,
    StreamMessage,
    StreamOutput,
    StreamSkipped,
)
from pycloud.protocol.requests import KEEPALIVES_PER_LEASE, FollowRequest, StreamRequest
from pycloud.transport.blocking import (
    UNCONFIRMED_SUBSCRIPTION,
    ConnectionLost,
    DeadlineConnection,
    DeadlineConnectionPool,
)


@dataclass(frozen=True)
class Output:
    """Output of the session from byte ``offset`` on."""

    offset: int
    data: bytes


@dataclass(frozen=True)
class Skipped:
    """Bytes from ``offset`` on that are lost to this viewer; ``size`` None: their number is unknown."""

    offset: int
    size: int | None


@dataclass(frozen=True)
class Ended:
    """The end of the output. ``state`` is the session's; ``exit_code`` and ``reason`` as far as they are known."""

    offset: int
    state: str
    exit_code: int | None = None
    reason: str | None = None


LogItem = Output | Skipped | Ended


class StreamPosition:
    """``offset``: the next byte. ``resume_token``: the owner's token for finding that position again."""

    def __init__(self) -> None:
        self.offset = 0
        self.resume_token: str | None = None
        #: Offset of the gap for which a new stream was requested last.
        self._gap_requested_at: int | None = None

    def start_at(self, offset: int, resume_token: str | None = None) -> None:
        """Set the position at the start of the first stream."""
        self.offset, self.resume_token = offset, resume_token

    def apply(self, message: StreamMessage) -> list[LogItem] | None:
        """The items from a message; None: output before it is missing, and a new stream has to be requested.

        Where a new stream was requested for this gap already, the missing output is reported as ``Skipped``.
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


#: Seconds of one read, after which a ``close`` by another thread is noticed.
POLL_SECONDS = 0.5
#: Seconds that a request for another stream may take before it is repeated.
REOPEN_TIMEOUT = 5.0
#: Acknowledgements per window: one is sent after this fraction of it.
ACKS_PER_WINDOW = 4
#: Consecutive closed streams that count as a loss: more than the end of a lease or of a daemon would cause.
CLOSES_COUNTED_AS_LOSS = 3
#: Error codes after which another stream is requested.
RETRYABLE_CODES = frozenset({TooManyStreams.code, EngineUnavailable.code})
#: State reported for a session that its node does not know (any more).
UNKNOWN_STATE = "unknown"

#: Called with the error when the stream is lost, and with None when it continues.
OnStreamLoss = Callable[[PyCloudError | None], None]


class StreamLost(PyCloudError):
    """The stream has broken, or was closed before the session's end: another one has to be requested from its node."""


class LogFollower(Iterator[LogItem]):
    """The output of ``session``, item by item. ``close()`` it, or use it in a ``with`` block.

    ``fields`` set its start, as in a follow request; ``timeout``: seconds for the first response. Used by one thread at
    a time, but any thread may close it.
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
        """The next item. Raises the errors that end the iteration, for example RequestRefused."""
        with self._lock:
            while not self._pending:
                if self._finished or self._closed:
                    self._finish()
                    raise StopIteration
                self._step()
            return self._pending.popleft()

    def close(self) -> None:
        """End the stream; the session is not affected."""
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
        """Receive a message, or reopen the stream after a failure."""
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
        """Subscribe, then request a stream. Raises what a request raises, and NotFound."""
        deadline = time.monotonic() + min(timeout, REDIS_TIMEOUT)
        if self._opened:
            self._send(CLOSE)  # the last stream may still be open, and count towards the limit
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
            raise unknown_session(response)
        return response

    def _subscribe(self, connection: DeadlineConnection, deadline: float) -> None:
        channel = self._channel()
        connection.send(deadline, ("SUBSCRIBE", channel))
        while (message := connection.read_message(deadline)) is not None:
            if message[:2] == [b"subscribe", channel.encode()]:
                return
        raise ConnectionLost(UNCONFIRMED_SUBSCRIPTION)

    def _receive(self) -> None:
        """Handle the next message, if one arrives soon. Raises StreamLost after a lease without a message."""
        assert self._connection is not None
        self._acknowledge_if_due()
        message = self._connection.read_message(
            time.monotonic() + min(POLL_SECONDS, self._lease / KEEPALIVES_PER_LEASE)
        )
        now = time.monotonic()
        if message is None and now - self._last_received_at > self._lease:
            raise StreamLost(
                f"node {owner_of(self._session)}, which owns the session, has sent nothing for {self._lease:g} s"
            )
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
                raise StreamLost(f"node {owner_of(self._session)} has closed the stream: {message.reason}")
            self._disconnect()  # that alone is no loss: another stream is requested
            return
        try:
            items = self._position.apply(message)
        except ValueError as error:
            raise StreamLost(f"a message in the stream did not come from a PyCloud node: {error}") from error
        if items is None:
            self._disconnect()  # not lost: another stream is requested from the gap on
            return
        self._consecutive_closes = 0
        self._report_recovery()
        self._pending += items
        self._finished = any(isinstance(piece, Ended) for piece in items)

    def _acknowledge_if_due(self) -> None:
        """Acknowledge the output read so far, where that is much or the lease requires it."""
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
        """Close the connection: one that was subscribed cannot be used otherwise, and opens again when it is needed."""
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
    """The payload for the owner's direct channel."""
    fields = {"id": message.id, "session": message.session, "kind": message.kind, "offset": message.offset}
    return msgspec.json.encode({"op": message.op, **fields})


def _decode_message(payload: bytes) -> StreamMessage | None:
    """A message of a stream; None where it cannot be decoded (a newer node's, or not a node's)."""
    try:
        message: StreamMessage = msgspec.json.decode(payload, type=StreamMessage)
    except (ValueError, RecursionError):
        return None
    return message
