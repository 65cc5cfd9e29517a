"""Follows the output of a session: asks its cloud for a stream, reads it, and asks anew wherever that breaks.

Blocking; reads only. What is new and what is missing is decided in ``progress.py``.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from pycloud.client.answer import decoded
from pycloud.client.ask import make_ask
from pycloud.client.errors import NoCloud, NotFound, RequestRefused, Unsettled
from pycloud.client.exchange import REDIS_PATIENCE, Exchange, pause
from pycloud.client.progress import Ended, Followed, Progress
from pycloud.errors import EngineUnavailable, PyCloudError, RedisUnavailable, TooManyStreams
from pycloud.protocol.keys import Names, owner_of
from pycloud.protocol.log_stream import (
    ACK,
    BEATS,
    CLOSE,
    FollowRequest,
    FollowResponse,
    StreamClosed,
    StreamMessage,
    StreamRequest,
)
from pycloud.transport.blocking import Line, LineLost, Lines

#: Seconds that a listener waits at once: after so many a ``close`` by another thread is noticed.
SLICE = 0.5
#: Seconds that a question for a stream may take once there was one: then it is asked again.
PATIENCE = 5.0
#: A viewer says what it has dealt with when it comes to this share of the window.
SHARE = 4
#: So many streams that are closed at once are more than the end of a lease, or of a daemon.
SUSPICIOUS = 3
#: Refusals after which a stream that has broken is asked for again.
PASSING = frozenset({TooManyStreams.code, EngineUnavailable.code})
#: What a session's cloud says that has no such session (any more).
UNKNOWN = "unknown"

#: Called with the error when the stream is lost, and with None when it goes on.
OnLoss = Callable[[PyCloudError | None], None]


class StreamLost(PyCloudError):
    """The stream has broken, or is over without an end: its cloud is to be asked for another one."""


class Following(Iterator[Followed]):
    """The output of ``session``, piece by piece. ``close()`` it, or use it in a ``with`` block.

    ``fields`` say where it begins, as in a follow request, ``timeout`` in how many seconds the first answer has to be
    there. Used by one thread at a time, but any may close it.
    """

    def __init__(
        self,
        ears: Lines,
        mouths: Lines,
        names: Names,
        session: str,
        fields: Mapping[str, Any],
        timeout: float,
        on_loss: OnLoss,
    ) -> None:
        self._ears, self._mouths, self._names, self._session = ears, mouths, names, session
        self._fields, self._on_loss = dict(fields), on_loss
        self._progress = Progress()
        self._lock, self._closed = threading.Lock(), False
        self._found: deque[Followed] = deque()
        self._losses = self._closings = 0
        self._over = self._begun = False
        self._ear: contextlib.ExitStack = contextlib.ExitStack()
        self._line: Line | None = None
        self._stream = ""
        self._window, self._acknowledged, self._lease = 0, 0, 0.0
        self._heard_at = self._spoken_at = 0.0
        self._open(timeout)

    def __next__(self) -> Followed:
        """The next piece. Raises what ends it for good: RequestRefused, say, where its cloud will not serve it."""
        with self._lock:
            while not self._found:
                if self._over or self._closed:
                    self._shut()
                    raise StopIteration
                self._get_on()
            return self._found.popleft()

    def close(self) -> None:
        """End the stream; the session goes on."""
        self._closed = True
        with self._lock:
            self._shut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get_on(self) -> None:
        """Hear something, or mend what broke."""
        try:
            if self._line is None:
                self._open(PATIENCE)
            self._listen()
        except (StreamLost, RedisUnavailable, NoCloud, Unsettled) as error:
            self._lose(error)
        except NotFound as error:
            self._found.append(Ended(self._progress.offset, UNKNOWN, reason=error.message))
            self._over = True
        except RequestRefused as error:
            if error.code not in PASSING:
                raise
            self._lose(error)

    def _open(self, timeout: float) -> None:
        """Ask for a stream: heard before it is asked for. Raises what a request raises, and NotFound."""
        until = time.monotonic() + min(timeout, REDIS_PATIENCE)
        if self._begun:
            self._say(CLOSE)  # the last one may still be there, and hold a place
        self._stream = secrets.token_hex(10)
        try:
            self._line = self._ear.enter_context(self._ears.line(until))
            self._subscribe(self._line, until)
            answer = self._ask(timeout)
        except BaseException:
            self._hang_up()
            raise
        if not self._begun:
            self._progress.begin(answer.offset or 0, answer.place or None)
        self._begun = True
        self._acknowledged = self._progress.offset
        self._window, self._lease = answer.window or 0, answer.lease or 0.0
        self._heard_at = self._spoken_at = time.monotonic()
        if self._closings < SUSPICIOUS:
            self._found_again()

    def _ask(self, timeout: float) -> FollowResponse:
        fields = self._fields
        if self._begun:
            fields = {name: fields[name] for name in ("once", "window", "lease") if name in fields}
            fields["offset"] = self._progress.offset
            if self._progress.place is not None:
                fields["place"] = self._progress.place
        ask = make_ask(FollowRequest.op, {"session": self._session, **fields}, self._stream)
        raw = Exchange(self._ears, self._mouths, self._names, ask, timeout, lambda _event: None).run()
        answer = decoded(raw, FollowResponse)
        if answer.error:
            raise RequestRefused(answer.error.code, answer.error.message, answer)
        if not answer.status:
            raise NotFound(f"cloud {answer.cloud} knows no session {answer.id}")
        return answer

    def _subscribe(self, line: Line, until: float) -> None:
        channel = self._channel()
        line.send(until, ("SUBSCRIBE", channel))
        while (message := line.hear(until)) is not None:
            if message[:2] == [b"subscribe", channel.encode()]:
                return
        raise LineLost("Redis does not confirm the subscription; is it frozen or overloaded?")

    def _listen(self) -> None:
        """What comes next, or nothing for a while."""
        assert self._line is not None
        self._speak()
        message = self._line.hear(time.monotonic() + min(SLICE, self._lease / BEATS))
        now = time.monotonic()
        if message is None and now - self._heard_at > self._lease:
            raise StreamLost(f"nothing is heard of cloud {owner_of(self._session)}, which the session belongs to")
        if message is None or message[:2] != [b"message", self._channel().encode()]:
            return
        self._heard_at = now
        self._take(bytes(message[2]))

    def _take(self, payload: bytes) -> None:
        message = _message(payload)
        if message is None:
            return
        if isinstance(message, StreamClosed):
            self._closings += 1
            if self._closings >= SUSPICIOUS:
                raise StreamLost(f"cloud {owner_of(self._session)} has closed the stream: {message.reason}")
            self._hang_up()  # that alone is no loss: it is asked for another one
            return
        try:
            found = self._progress.follow(message)
        except ValueError as error:
            raise StreamLost(f"something came in the stream that no cloud would send: {error}") from error
        if found is None:
            self._hang_up()  # not lost, merely asked for anew where something is missing
            return
        self._closings = 0
        self._found_again()
        self._found += found
        self._over = any(isinstance(piece, Ended) for piece in found)

    def _speak(self) -> None:
        """Say what was dealt with, where that is much, and now and then in any case."""
        due = time.monotonic() - self._spoken_at >= self._lease / BEATS
        if due or self._progress.offset - self._acknowledged >= self._window // SHARE:
            self._say(ACK)
            self._acknowledged, self._spoken_at = self._progress.offset, time.monotonic()

    def _say(self, kind: str) -> None:
        message = StreamRequest(self._stream, self._session, kind, self._progress.offset)
        channel = self._names.cloud_channel(owner_of(self._session) or "")
        soon = time.monotonic() + REDIS_PATIENCE
        with self._mouths.line(soon) as mouth:
            mouth.calls(soon, ("PUBLISH", channel, spelled(message)))

    def _lose(self, error: PyCloudError) -> None:
        self._hang_up()
        if not self._losses:
            self._on_loss(error)
        time.sleep(pause(self._losses))
        self._losses += 1

    def _found_again(self) -> None:
        if self._losses:
            self._losses = 0
            self._on_loss(None)

    def _hang_up(self) -> None:
        """A line that was subscribed is fit for nothing else: it is closed, and opens again when it is needed."""
        if self._line is not None:
            self._line.close()
        self._line = None
        self._ear.close()

    def _shut(self) -> None:
        if self._line is not None and not self._over:
            with contextlib.suppress(RedisUnavailable):
                self._say(CLOSE)
        self._over = True
        self._hang_up()

    def _channel(self) -> str:
        return self._names.response_channel(StreamRequest.op, self._stream)


def spelled(message: StreamRequest) -> bytes:
    """What goes over the direct channel of the owner."""
    fields = {"id": message.id, "session": message.session, "kind": message.kind, "offset": message.offset}
    return msgspec.json.encode({"op": message.op, **fields})


def _message(payload: bytes) -> StreamMessage | None:
    """A message of a stream; None for what only a newer cloud would say, or somebody else."""
    try:
        message: StreamMessage = msgspec.json.decode(payload, type=StreamMessage)
    except (ValueError, RecursionError):
        return None
    return message
