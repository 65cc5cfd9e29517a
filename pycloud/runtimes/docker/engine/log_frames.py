"""The frames of an engine's stream of logs, and how a position in it is found again. Pure.

Engines count no bytes, only messages: each is up to 16 KiB of one line, with the time at which it was written. Times
may be repeated, and slightly out of order: a position is the number of messages since the first one with the highest
time.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pycloud.errors import BadRequest

#: Length of the time before a message, which is constant, and a space.
STAMP_LENGTH = len("2026-11-25T15:10:01.123456789Z ")
#: Bytes of one message. A terminal's output has no frames: a message ends with its line, or after so many bytes.
MAX_MESSAGE_BYTES = 16 * 1024
#: Nanoseconds before a position that are read again to find it: messages are out of order by far less.
SEARCH_MARGIN = 250_000_000
#: More messages than are possible: all messages with that time are behind the reader.
ALL_MESSAGES = 10**9

_HEADER = struct.Struct(">BxxxL")
_POSITION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{9})Z/(\d{1,10})", re.ASCII)


@dataclass(frozen=True)
class LogMessage:
    """One message: its time as text in the engine's format, which can be compared, and its data."""

    stamp: str
    data: bytes


@dataclass(frozen=True)
class LogPosition:
    """A position after ``count`` messages, beginning with the first message with the time ``stamp``."""

    stamp: str
    count: int

    def __str__(self) -> str:
        return f"{self.stamp}/{self.count}"

    def after(self, message: LogMessage) -> LogPosition:
        """Return the position after one more message."""
        return LogPosition(message.stamp, 1) if message.stamp > self.stamp else LogPosition(self.stamp, self.count + 1)

    def since(self) -> str:
        """Return the time, in the engine's format, from which to read logs so that this position is included."""
        seconds = int(datetime.fromisoformat(self.stamp[:19] + "+00:00").timestamp())
        at = max(0, seconds * 10**9 + int(self.stamp[20:29]) - (SEARCH_MARGIN if self.count else 0))
        return f"{at // 10**9}.{at % 10**9:09}"


#: The position before all messages.
BEGINNING = LogPosition("0001-01-01T00:00:00.000000000Z", 0)


def parse_position(text: str) -> LogPosition:
    """Parse a position in the form that viewers get. Raises BadRequest."""
    found = _POSITION.fullmatch(text)
    try:
        if found is None or datetime.fromisoformat(found[1]).year < 1:
            raise ValueError(text)
    except ValueError:
        raise BadRequest("follow: `place` is invalid; send one that came with output, or leave it out") from None
    return LogPosition(f"{found[1]}{found[2]}Z", int(found[3]))


def position_at(since: float) -> LogPosition:
    """Return the position before all messages written at ``since`` (Unix seconds) or later. Raises BadRequest."""
    try:
        whole = datetime.fromtimestamp(int(since), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        raise BadRequest(f"follow: `since` is {since}; it is a time in Unix seconds") from None
    return LogPosition(f"{whole}.{int(since % 1 * 1e9):09}Z", 0)


class PositionSearch:
    """Skips the messages before a position. ``position`` advances with every message skipped or accepted."""

    def __init__(self, position: LogPosition) -> None:
        self.position = position
        self._target: LogPosition | None = position if position.count else None
        self._skipped = 0

    def accept(self, message: LogMessage) -> tuple[bool, bool]:
        """Return whether to accept a message, and whether output before it is lost: the position was not found."""
        target, lost = self._target, False
        if target is not None:
            if self._skipped or message.stamp == target.stamp:
                self._skipped += 1
                if self._skipped <= target.count and (target.count < ALL_MESSAGES or message.stamp <= target.stamp):
                    return False, False
            elif message.stamp < target.stamp:
                return False, False
            else:
                lost = target.count < ALL_MESSAGES
            self._target = None
            if target.count >= ALL_MESSAGES:
                self.position = LogPosition(target.stamp, 0)
        self.position = self.position.after(message)
        return True, lost


class Demultiplexer:
    """Splits a stream into messages. ``terminal``: the container has a terminal, so there are no frames."""

    def __init__(self, terminal: bool) -> None:
        self._terminal, self._buffer = terminal, b""

    def feed(self, data: bytes) -> Iterator[LogMessage]:
        """Return the messages that are complete with ``data``, which may be any part of the stream."""
        self._buffer += data
        at = 0
        while (cut := self._next(at)) is not None:
            begin, end = cut
            yield _message(self._buffer[begin:end])
            at = end
        self._buffer = self._buffer[at:]

    def flush(self) -> Iterator[LogMessage]:
        """Return the rest at the end of the stream: a terminal's last line may lack its line feed."""
        if self._terminal and len(self._buffer) > STAMP_LENGTH:
            yield _message(self._buffer)
        self._buffer = b""

    def _next(self, at: int) -> tuple[int, int] | None:
        """Return the bounds of the message that begins at ``at``; None where it is incomplete."""
        if not self._terminal:
            if len(self._buffer) < at + _HEADER.size:
                return None
            begin = at + _HEADER.size
            end = begin + int(_HEADER.unpack_from(self._buffer, at)[1])
            return (begin, end) if end <= len(self._buffer) else None
        body = at + STAMP_LENGTH
        newline = self._buffer.find(b"\n", body, body + MAX_MESSAGE_BYTES)
        if newline >= 0:
            return at, newline + 1
        return (at, body + MAX_MESSAGE_BYTES) if len(self._buffer) >= body + MAX_MESSAGE_BYTES else None


def _message(raw: bytes) -> LogMessage:
    return LogMessage(raw[: STAMP_LENGTH - 1].decode(errors="replace"), raw[STAMP_LENGTH:])
