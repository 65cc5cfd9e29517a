"""Streams of output, the cloud's side: a greenlet each. Messages are in ``streams.py``, decisions in ``credit.py``.

A stream reads its session's output no faster than its viewer deals with it, so what is on its way through Redis is
bounded; and all streams together take about half of the daemon's time at most, so that nobody else waits for them.
"""

from __future__ import annotations

import logging
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
from pycloud.protocol.log_stream import (
    ACK,
    CLOSE,
    DEFAULT_START,
    FollowRequest,
    FollowResponse,
    StreamAlive,
    StreamClosed,
    StreamEnd,
    StreamMessage,
    StreamRequest,
    StreamSkipped,
    lease_of,
    output,
    window_of,
)
from pycloud.protocol.message_parts import ErrorBody
from pycloud.protocol.session import Session, State
from pycloud.runtimes import Piece, Reader, Start
from pycloud.runtimes.composite import Runtimes
from pycloud.sessions.credit import Credit
from pycloud.store.requests import Ledger

log = logging.getLogger(__name__)

#: The most streams of one cloud at a time.
MOST_STREAMS = 64
#: Bytes of output in one message, at most.
CHUNK = 64 * 1024
#: Seconds in which output gathers after a short piece: many small ones make few messages.
GATHER = 0.02
#: How long the daemon does other things after each piece, as a multiple of the time that the piece took.
REST = 1.0

Send = Callable[[StreamMessage], None]


class Stream:
    """One session's output on its way to one viewer. ``send`` publishes a message to it, and never waits."""

    def __init__(self, request: FollowRequest, session: Session, send: Send, turn: BoundedSemaphore) -> None:
        self.id, self.session = request.id, session
        self._send, self._turn = send, turn
        self._wake = Event()
        self._closed = False
        self._request = request
        self._reader: Reader | None = None
        self._credit: Credit | None = None

    def open(self, runtime: Runtimes) -> FollowResponse:
        """Find the beginning; what the viewer is told. Raises FileNotFoundError and RequestError."""
        request = self._request
        start = Start(request.offset, request.tail, request.lines, request.since, request.place)
        if start == Start():
            start = Start(tail=DEFAULT_START)
        self._reader = runtime.follow(request.session, start, request.once, self._wake.set)
        self._credit = Credit(self._reader.begin, window_of(request), lease_of(request), monotonic())
        return self.answer()

    def answer(self) -> FollowResponse:
        """What the viewer is told of it."""
        assert self._reader is not None
        request, begin = self._request, self._reader.begin
        return FollowResponse(
            self.session.cloud,
            self.session.id,
            status=True,
            offset=begin,
            place=UNSET if self._reader.place is None else self._reader.place,
            window=window_of(request),
            lease=lease_of(request),
        )

    @property
    def is_open(self) -> bool:
        """Whether it has found its beginning."""
        return self._credit is not None

    def wake(self) -> None:
        """Something has changed: have a look."""
        self._wake.set()

    def hear(self, message: StreamRequest) -> None:
        """What its viewer says."""
        if self._credit is None:
            return
        self._credit.renewed(monotonic())
        if message.kind == ACK:
            self._credit.acknowledged(message.offset)
        self._closed = self._closed or message.kind == CLOSE
        self._wake.set()

    def run(self) -> None:
        """Send what there is, as it comes, until the end, or until nobody wants it any more."""
        assert self._reader is not None
        while self._go_on(self._reader):
            pass

    def close(self) -> None:
        """Read no more."""
        if self._reader is not None:
            self._reader.close()

    def _go_on(self, reader: Reader) -> bool:
        """One step; False where that was the last one."""
        credit, now = self._credit, monotonic()
        assert credit is not None
        if self._closed:
            return False
        if credit.lapsed(now):
            log.info("session %s: nobody was heard of a viewer of its output any more", self.session.id)
            self._send(StreamClosed("nothing was heard of the viewer for too long"))
            return False
        self._wake.clear()
        over = not self.session.alive  # looked at first: what it wrote before its end is then there to be read
        room = credit.room()
        try:
            piece = self._one_turn(reader, credit, room) if room else None
        except FileNotFoundError:
            self._end(credit)
            return False
        if piece is not None:
            if len(piece.data) < min(room, CHUNK):
                gevent.sleep(GATHER)
            return True
        if room and reader.complete(over):
            self._end(credit)
            return False
        if credit.beat(now):
            self._send(StreamAlive(credit.offset))
        self._wake.wait(min(credit.pause(monotonic()), reader.patience))
        return True

    def _one_turn(self, reader: Reader, credit: Credit, room: int) -> Piece | None:
        with self._turn:
            began = monotonic()
            piece = reader.read(min(room, CHUNK))
            if piece is not None:
                self._pass_on(piece, credit)
                gevent.sleep((monotonic() - began) * REST)
        return piece

    def _pass_on(self, piece: Piece, credit: Credit) -> None:
        if piece.lost or piece.offset > credit.offset:
            missing = piece.offset - credit.offset
            self._send(StreamSkipped(credit.offset, None if piece.lost else missing))
            credit.skip(missing)
        self._send(output(piece.offset, piece.data, piece.place))
        credit.sent(len(piece.data), monotonic())

    def _end(self, credit: Credit) -> None:
        session = self.session
        over = session.state in (State.EXITED, State.FAILED)
        more: dict[str, Any] = {"exit_code": session.exit_code} if over else {}
        if over and session.reason:
            more["reason"] = session.reason
        self._send(StreamEnd(credit.offset, session.state.value, **more))


class Following:
    """All streams of cloud ``cloud``: opened for ``sessions`` (by id) that live in ``runtime``, at most ``most``."""

    def __init__(
        self,
        cloud: str,
        sessions: Mapping[str, Session],
        runtime: Runtimes,
        ledger: Ledger,
        most: int = MOST_STREAMS,
    ) -> None:
        self._cloud, self._sessions, self._runtime, self._ledger, self._most = cloud, sessions, runtime, ledger, most
        self._streams: dict[str, Stream] = {}
        self._work = Group()
        self._stopped = False
        self._turn = BoundedSemaphore(1)
        self.handlers: dict[str, Callable[[Any], None]] = {
            FollowRequest.op: self.open,
            StreamRequest.op: self.hear,
        }

    def open(self, request: FollowRequest) -> None:
        """Open a stream, and answer. One that is open is merely answered again."""
        try:
            response = self._open(request)
        except FileNotFoundError:
            response = FollowResponse(self._cloud, request.session, status=False)
        except RequestError as error:
            body = ErrorBody(error.code, error.message)
            response = FollowResponse(self._cloud, request.session, status=False, error=body)
        if response is not None:
            self._ledger.answer(FollowRequest.op, request.id, response)

    def hear(self, message: StreamRequest) -> None:
        """What the viewer of a stream says."""
        stream = self._streams.get(message.id)
        if stream is not None:
            stream.hear(message)
        elif message.kind != CLOSE:
            self._send(message.id, StreamClosed("this cloud has no such stream (any more)"))

    def changed(self, session: str) -> None:
        """A session has ended, or is gone."""
        for stream in self._streams.values():
            if stream.session.id == session:
                stream.wake()

    def stop(self) -> None:
        """Tell every viewer to ask anew, and end all streams."""
        self._stopped = True
        streams = list(self._streams.values())
        for stream in streams:
            self._send(stream.id, StreamClosed("the cloud is stopping"))
        self._work.kill()
        for stream in streams:
            stream.close()  # also of those that had not begun

    def _open(self, request: FollowRequest) -> FollowResponse | None:
        known = self._streams.get(request.id)
        if known is not None:
            return known.answer() if known.is_open else None
        session = self._sessions.get(request.session)
        if session is None:
            raise FileNotFoundError(request.session)
        if session.state is State.STARTING:
            raise BadRequest("follow: this session is still being started; it has no output yet")
        if len(self._streams) >= self._most:
            raise TooManyStreams(f"this cloud serves {self._most} viewers of output already; ask again later")
        stream = Stream(request, session, lambda message: self._send(request.id, message), self._turn)
        self._streams[request.id] = stream
        try:
            answer = stream.open(self._runtime)
        except BaseException:
            del self._streams[request.id]
            raise
        if self._stopped:
            stream.close()
            return None
        self._work.spawn(self._run, stream)
        return answer

    def _run(self, stream: Stream) -> None:
        try:
            stream.run()
        except Exception:
            # A bug, or what a disk refused: said with its place, and the viewer may ask anew.
            log.exception("the output of session %s cannot be followed", stream.session.id)
            self._send(stream.id, StreamClosed("the cloud cannot read its output; its log says why"))
        finally:
            stream.close()
            self._streams.pop(stream.id, None)

    def _send(self, stream: str, message: msgspec.Struct) -> None:
        self._ledger.answer(StreamRequest.op, stream, message)
