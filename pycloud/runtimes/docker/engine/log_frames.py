"""What an engine's stream of logs is made of, and how a place in it is found again. Pure.

Engines know no bytes, only messages: each up to 16 KiB of one line, with the time at which it was written. Times may
come twice, and slightly out of order: a place is how many messages there were from the first one with the highest time.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pycloud.errors import BadRequest

#: The time before a message, always as long, and a space.
STAMP_LENGTH = len("2026-11-25T15:10:01.123456789Z ")
#: A terminal's output comes without frames: a message is over with its line, or with so many bytes.
MAX_MESSAGE_BYTES = 16 * 1024
#: Nanoseconds before a place that are read again to find it: messages are out of order by far less.
SEARCH_MARGIN = 250_000_000
#: More messages than there can be: everything with that time was passed.
ALL_MESSAGES = 10**9

_HEADER = struct.Struct(">BxxxL")
_POSITION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{9})Z/(\d{1,10})", re.ASCII)


@dataclass(frozen=True)
class LogMessage:
    """One message: its time as the engine writes it, which can be compared as it stands, and what was written."""

    stamp: str
    data: bytes


@dataclass(frozen=True)
class LogPosition:
    """Behind ``count`` messages, the first of them the first one with the time ``stamp``."""

    stamp: str
    count: int

    def __str__(self) -> str:
        return f"{self.stamp}/{self.count}"

    def after(self, message: LogMessage) -> LogPosition:
        """The place after one more message."""
        return LogPosition(message.stamp, 1) if message.stamp > self.stamp else LogPosition(self.stamp, self.count + 1)

    def since(self) -> str:
        """From when on an engine is to be asked, in its words, so that this place is within."""
        seconds = int(datetime.fromisoformat(self.stamp[:19] + "+00:00").timestamp())
        at = max(0, seconds * 10**9 + int(self.stamp[20:29]) - (SEARCH_MARGIN if self.count else 0))
        return f"{at // 10**9}.{at % 10**9:09}"


#: Before everything.
BEGINNING = LogPosition("0001-01-01T00:00:00.000000000Z", 0)


def parse_position(text: str) -> LogPosition:
    """A place as it was told to a viewer. Raises BadRequest."""
    found = _POSITION.fullmatch(text)
    try:
        if found is None or datetime.fromisoformat(found[1]).year < 1:
            raise ValueError(text)
    except ValueError:
        raise BadRequest("follow: `place` is none; hand back what came with the output, or leave it out") from None
    return LogPosition(f"{found[1]}{found[2]}Z", int(found[3]))


def position_at(since: float) -> LogPosition:
    """The place before all that was written at ``since`` (Unix seconds) or later. Raises BadRequest."""
    try:
        whole = datetime.fromtimestamp(int(since), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        raise BadRequest(f"follow: `since` is {since}; it is a time in Unix seconds") from None
    return LogPosition(f"{whole}.{int(since % 1 * 1e9):09}Z", 0)


class PositionSearch:
    """Passes over what comes before a place. ``place`` goes on with every message that is passed over or taken."""

    def __init__(self, position: LogPosition) -> None:
        self.position = position
        self._target: LogPosition | None = position if position.count else None
        self._skipped = 0

    def accept(self, message: LogMessage) -> tuple[bool, bool]:
        """Whether a message is to be taken, and whether something is missing before it: the place was not found."""
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
    """Takes a stream apart that comes in any pieces. ``terminal``: the container has one, so there are no frames."""

    def __init__(self, terminal: bool) -> None:
        self._terminal, self._buffer = terminal, b""

    def feed(self, data: bytes) -> Iterator[LogMessage]:
        """The messages that are whole by now."""
        self._buffer += data
        at = 0
        while (cut := self._next(at)) is not None:
            begin, end = cut
            yield _message(self._buffer[begin:end])
            at = end
        self._buffer = self._buffer[at:]

    def flush(self) -> Iterator[LogMessage]:
        """What is left at the end."""
        if self._terminal and len(self._buffer) > STAMP_LENGTH:
            yield _message(self._buffer)
        self._buffer = b""

    def _next(self, at: int) -> tuple[int, int] | None:
        """Where the message begins and ends that comes at ``at``; None where it is not all there."""
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
