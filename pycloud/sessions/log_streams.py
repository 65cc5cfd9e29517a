"""Streams of output, the node's side: a greenlet for each stream. ``FlowControl`` decides what it may send, and when.

A stream reads its session's output no faster than its viewer acknowledges it, so the output in transit through Redis
is bounded; and all streams together take about half of the daemon's time at most, so that other work is not delayed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import gevent
import msgspec
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from gevent.pool import Group
from msgspec import UNSET

from pycloud.errors import BadRequest, RequestError, TooManyStreams
from pycloud.protocol.log_stream import encode_output
from pycloud.protocol.messages import (
    ACK,
    CLOSE,
    ErrorBody,
    FollowResponse,
    StreamClosed,
    StreamEnd,
    StreamKeepalive,
    StreamMessage,
    StreamSkipped,
)
from pycloud.protocol.requests import DEFAULT_FOLLOW_TAIL, KEEPALIVES_PER_LEASE, FollowRequest, StreamRequest
from pycloud.protocol.session import Session, State
from pycloud.runtimes import OutputChunk, OutputReader, ReadFrom
from pycloud.runtimes.composite import CompositeRuntime
from pycloud.store.requests import RequestStore


class FlowControl:
    """Flow control of one stream: at most ``window`` bytes are sent and not yet acknowledged by the viewer.

    ``lease``: seconds without a message from the viewer after which the stream expires. ``offset``: all output before
    it was sent or skipped. Times are monotonic seconds.
    """

    def __init__(self, offset: int, window: int, lease: float, now: float) -> None:
        self.offset, self._window, self._lease = offset, window, lease
        self._expires_at, self._keepalive_at = now + lease, now + lease / KEEPALIVES_PER_LEASE
        #: Chunks sent and not acknowledged: the offset after each, and its size in bytes.
        self._in_flight: deque[tuple[int, int]] = deque()
        self._in_flight_bytes = 0

    def available(self) -> int:
        """Number of bytes that may be sent now; 0 also where less than a quarter of the window is free."""
        available = self._window - self._in_flight_bytes
        return available if available >= self._window // 4 else 0

    def sent(self, size: int, now: float) -> None:
        """Record that a chunk of ``size`` bytes was sent."""
        self.offset += size
        self._in_flight.append((self.offset, size))
        self._in_flight_bytes += size
        self._keepalive_at = now + self._lease / KEEPALIVES_PER_LEASE

    def skip(self, size: int) -> None:
        """Record that ``size`` bytes will never be sent."""
        self.offset += size

    def acknowledged(self, offset: int) -> None:
        """Record that the viewer has processed all output before ``offset``."""
        while self._in_flight and self._in_flight[0][0] <= offset:
            self._in_flight_bytes -= self._in_flight.popleft()[1]

    def touch(self, now: float) -> None:
        """Renew the lease: a message from the viewer arrived."""
        self._expires_at = now + self._lease

    def expired(self, now: float) -> bool:
        """Whether the lease has run out."""
        return now >= self._expires_at

    def keepalive_due(self, now: float) -> bool:
        """Whether a keepalive is due; if so, it counts as sent."""
        if now < self._keepalive_at:
            return False
        self._keepalive_at = now + self._lease / KEEPALIVES_PER_LEASE
        return True

    def wait_timeout(self, now: float) -> float:
        """Seconds until the lease runs out or a keepalive is due."""
        return max(0.0, min(self._expires_at, self._keepalive_at) - now)


log = logging.getLogger(__name__)

#: The most streams of one node at a time.
MAX_STREAMS = 64
#: Bytes of output in one message, at most.
CHUNK_SIZE = 64 * 1024
#: Seconds to wait for more output after a short chunk, so that many small writes make few messages.
COALESCE_DELAY = 0.02
#: Pause after each chunk, in which the daemon does other work, as a multiple of the time that the chunk took.
YIELD_RATIO = 1.0

Send = Callable[[StreamMessage], None]


class LogStream:
    """One session's output on its way to one viewer. ``send`` publishes a message to it and never blocks."""

    def __init__(self, request: FollowRequest, session: Session, send: Send, read_lock: BoundedSemaphore) -> None:
        self.id, self.session = request.id, session
        self._send, self._read_lock = send, read_lock
        self._wake = Event()
        self._closed = False
        self._request = request
        self._reader: OutputReader | None = None
        self._flow_control: FlowControl | None = None

    def open(self, runtime: CompositeRuntime) -> FollowResponse:
        """Find the start of the output and return the response for the viewer.

        Raises FileNotFoundError where there is no output, RequestError where it cannot start there or be read now.
        """
        request = self._request
        read_from = ReadFrom(request.offset, request.tail, request.lines, request.since, request.place)
        if read_from == ReadFrom():
            read_from = ReadFrom(tail=DEFAULT_FOLLOW_TAIL)
        self._reader = runtime.follow(request.session, read_from, request.once, self._wake.set)
        self._flow_control = FlowControl(
            self._reader.start_offset, request.granted_window, request.granted_lease, monotonic()
        )
        return self.response()

    def response(self) -> FollowResponse:
        """The response to the viewer's ``follow`` request."""
        assert self._reader is not None
        request, begin = self._request, self._reader.start_offset
        return FollowResponse(
            self.session.node,
            self.session.id,
            status=True,
            offset=begin,
            place=UNSET if self._reader.start_position is None else self._reader.start_position,
            window=request.granted_window,
            lease=request.granted_lease,
        )

    @property
    def is_open(self) -> bool:
        """Whether ``open`` has found the start of the output."""
        return self._flow_control is not None

    def wake(self) -> None:
        """Wake the stream to check for output and for the session's end."""
        self._wake.set()

    def on_viewer_message(self, message: StreamRequest) -> None:
        """Handle a viewer's message: each renews the lease, ``ack`` frees the window, ``close`` ends the stream."""
        if self._flow_control is None:
            return
        self._flow_control.touch(monotonic())
        if message.kind == ACK:
            self._flow_control.acknowledged(message.offset)
        self._closed = self._closed or message.kind == CLOSE
        self._wake.set()

    def run(self) -> None:
        """Send output as it appears, until its end, or until the viewer closes the stream or its lease runs out."""
        assert self._reader is not None
        while self._step(self._reader):
            pass

    def close(self) -> None:
        """Close the reader."""
        if self._reader is not None:
            self._reader.close()

    def _step(self, reader: OutputReader) -> bool:
        """Do one step of ``run``; False where that was the last one."""
        flow_control, now = self._flow_control, monotonic()
        assert flow_control is not None
        if self._closed:
            return False
        if flow_control.expired(now):
            log.info("session %s: closed a log stream, whose viewer sent nothing within its lease", self.session.id)
            self._send(StreamClosed("the viewer sent nothing within its lease"))
            return False
        self._wake.clear()
        ended = not self.session.alive  # checked first: all that it wrote before its end can then be read
        available = flow_control.available()
        try:
            chunk = self._read_and_send(reader, flow_control, available) if available else None
        except FileNotFoundError:
            self._send_end(flow_control)
            return False
        if chunk is not None:
            if len(chunk.data) < min(available, CHUNK_SIZE):
                gevent.sleep(COALESCE_DELAY)
            return True
        if available and reader.is_complete(ended):
            self._send_end(flow_control)
            return False
        if flow_control.keepalive_due(now):
            self._send(StreamKeepalive(flow_control.offset))
        self._wake.wait(min(flow_control.wait_timeout(monotonic()), reader.poll_interval))
        return True

    def _read_and_send(self, reader: OutputReader, flow_control: FlowControl, available: int) -> OutputChunk | None:
        with self._read_lock:
            began = monotonic()
            chunk = reader.read(min(available, CHUNK_SIZE))
            if chunk is not None:
                self._send_chunk(chunk, flow_control)
                gevent.sleep((monotonic() - began) * YIELD_RATIO)
        return chunk

    def _send_chunk(self, chunk: OutputChunk, flow_control: FlowControl) -> None:
        if chunk.lost or chunk.offset > flow_control.offset:
            missing = chunk.offset - flow_control.offset
            self._send(StreamSkipped(flow_control.offset, None if chunk.lost else missing))
            flow_control.skip(missing)
        self._send(encode_output(chunk.offset, chunk.data, chunk.position))
        flow_control.sent(len(chunk.data), monotonic())

    def _send_end(self, flow_control: FlowControl) -> None:
        session = self.session
        ended = session.state in (State.EXITED, State.FAILED)
        more: dict[str, Any] = {"exit_code": session.exit_code} if ended else {}
        if ended and session.reason:
            more["reason"] = session.reason
        self._send(StreamEnd(flow_control.offset, session.state.value, **more))


class LogStreams:
    """All streams of node ``node``, of ``sessions`` (by id) that run in ``runtime``; at most ``max_streams``."""

    def __init__(
        self,
        node: str,
        sessions: Mapping[str, Session],
        runtime: CompositeRuntime,
        request_store: RequestStore,
        max_streams: int = MAX_STREAMS,
    ) -> None:
        self._node, self._sessions, self._runtime, self._request_store, self._max_streams = (
            node,
            sessions,
            runtime,
            request_store,
            max_streams,
        )
        self._streams: dict[str, LogStream] = {}
        self._greenlets = Group()
        self._stopped = False
        self._read_lock = BoundedSemaphore(1)
        self.handlers: dict[str, Callable[[Any], None]] = {
            FollowRequest.op: self.open,
            StreamRequest.op: self.on_viewer_message,
        }

    def open(self, request: FollowRequest) -> None:
        """Open a stream and publish the response. Where it is open already, only the response is published again."""
        try:
            response = self._open(request)
        except FileNotFoundError:
            response = FollowResponse(self._node, request.session, status=False)
        except RequestError as error:
            body = ErrorBody(error.code, error.message)
            response = FollowResponse(self._node, request.session, status=False, error=body)
        if response is not None:
            self._request_store.publish_response(FollowRequest.op, request.id, response)

    def on_viewer_message(self, message: StreamRequest) -> None:
        """Hand a viewer's message to its stream; where there is none, answer ``closed``, but not to a ``close``."""
        stream = self._streams.get(message.id)
        if stream is not None:
            stream.on_viewer_message(message)
        elif message.kind != CLOSE:
            self._send(message.id, StreamClosed("this node has no such stream; open a new one"))

    def on_session_changed(self, session: str) -> None:
        """Wake the streams of a session that has ended or was removed."""
        for stream in self._streams.values():
            if stream.session.id == session:
                stream.wake()

    def stop(self) -> None:
        """End all streams and send ``closed`` to each viewer, so that it opens a new one."""
        self._stopped = True
        streams = list(self._streams.values())
        for stream in streams:
            self._send(stream.id, StreamClosed("the node is stopping; open a new stream"))
        self._greenlets.kill()
        for stream in streams:
            stream.close()  # also those whose greenlet had not begun

    def _open(self, request: FollowRequest) -> FollowResponse | None:
        existing = self._streams.get(request.id)
        if existing is not None:
            return existing.response() if existing.is_open else None
        session = self._sessions.get(request.session)
        if session is None:
            raise FileNotFoundError(request.session)
        if session.state is State.STARTING:
            raise BadRequest("follow: this session is still starting and has no output yet; try again later")
        if len(self._streams) >= self._max_streams:
            raise TooManyStreams(f"this node serves {self._max_streams} log streams already; try again later")
        stream = LogStream(request, session, lambda message: self._send(request.id, message), self._read_lock)
        self._streams[request.id] = stream
        try:
            response = stream.open(self._runtime)
        except BaseException:
            del self._streams[request.id]
            raise
        if self._stopped:
            stream.close()
            return None
        self._greenlets.spawn(self._run, stream)
        return response

    def _run(self, stream: LogStream) -> None:
        try:
            stream.run()
        except Exception:
            # A bug, or an error of the disk: logged with its traceback, and the viewer may open a new stream.
            log.exception("cannot read the output of session %s", stream.session.id)
            self._send(stream.id, StreamClosed("the node cannot read the output; its log has the reason"))
        finally:
            stream.close()
            self._streams.pop(stream.id, None)

    def _send(self, stream: str, message: msgspec.Struct) -> None:
        self._request_store.publish_response(StreamRequest.op, stream, message)
