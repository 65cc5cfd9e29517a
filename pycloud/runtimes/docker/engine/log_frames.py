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
LONGEST_MESSAGE = 16 * 1024
#: Nanoseconds before a place that are read again to find it: messages are out of order by far less.
MARGIN = 250_000_000
#: More messages than there can be: everything with that time was passed.
ALL = 10**9

_HEADER = struct.Struct(">BxxxL")
_PLACE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{9})Z/(\d{1,10})", re.ASCII)


@dataclass(frozen=True)
class Message:
    """One message: its time as the engine writes it, which can be compared as it stands, and what was written."""

    stamp: str
    data: bytes


@dataclass(frozen=True)
class Place:
    """Behind ``count`` messages, the first of them the first one with the time ``stamp``."""

    stamp: str
    count: int

    def __str__(self) -> str:
        return f"{self.stamp}/{self.count}"

    def behind(self, message: Message) -> Place:
        """The place after one more message."""
        return Place(message.stamp, 1) if message.stamp > self.stamp else Place(self.stamp, self.count + 1)

    def since(self) -> str:
        """From when on an engine is to be asked, in its words, so that this place is within."""
        seconds = int(datetime.fromisoformat(self.stamp[:19] + "+00:00").timestamp())
        at = max(0, seconds * 10**9 + int(self.stamp[20:29]) - (MARGIN if self.count else 0))
        return f"{at // 10**9}.{at % 10**9:09}"


#: Before everything.
BEGINNING = Place("0001-01-01T00:00:00.000000000Z", 0)


def place_of(text: str) -> Place:
    """A place as it was told to a viewer. Raises BadRequest."""
    found = _PLACE.fullmatch(text)
    try:
        if found is None or datetime.fromisoformat(found[1]).year < 1:
            raise ValueError(text)
    except ValueError:
        raise BadRequest("follow: `place` is none; hand back what came with the output, or leave it out") from None
    return Place(f"{found[1]}{found[2]}Z", int(found[3]))


def place_at(since: float) -> Place:
    """The place before all that was written at ``since`` (Unix seconds) or later. Raises BadRequest."""
    try:
        whole = datetime.fromtimestamp(int(since), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        raise BadRequest(f"follow: `since` is {since}; it is a time in Unix seconds") from None
    return Place(f"{whole}.{int(since % 1 * 1e9):09}Z", 0)


class Search:
    """Passes over what comes before a place. ``place`` goes on with every message that is passed over or taken."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._sought: Place | None = place if place.count else None
        self._passed = 0

    def take(self, message: Message) -> tuple[bool, bool]:
        """Whether a message is to be taken, and whether something is missing before it: the place was not found."""
        sought, lost = self._sought, False
        if sought is not None:
            if self._passed or message.stamp == sought.stamp:
                self._passed += 1
                if self._passed <= sought.count and (sought.count < ALL or message.stamp <= sought.stamp):
                    return False, False
            elif message.stamp < sought.stamp:
                return False, False
            else:
                lost = sought.count < ALL
            self._sought = None
            if sought.count >= ALL:
                self.place = Place(sought.stamp, 0)
        self.place = self.place.behind(message)
        return True, lost


class Demultiplexer:
    """Takes a stream apart that comes in any pieces. ``terminal``: the container has one, so there are no frames."""

    def __init__(self, terminal: bool) -> None:
        self._terminal, self._rest = terminal, b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole by now."""
        self._rest += data
        at = 0
        while (cut := self._next(at)) is not None:
            begin, end = cut
            yield _message(self._rest[begin:end])
            at = end
        self._rest = self._rest[at:]

    def rest(self) -> Iterator[Message]:
        """What is left at the end."""
        if self._terminal and len(self._rest) > STAMP_LENGTH:
            yield _message(self._rest)
        self._rest = b""

    def _next(self, at: int) -> tuple[int, int] | None:
        """Where the message begins and ends that comes at ``at``; None where it is not all there."""
        if not self._terminal:
            if len(self._rest) < at + _HEADER.size:
                return None
            begin = at + _HEADER.size
            end = begin + int(_HEADER.unpack_from(self._rest, at)[1])
            return (begin, end) if end <= len(self._rest) else None
        body = at + STAMP_LENGTH
        feed = self._rest.find(b"\n", body, body + LONGEST_MESSAGE)
        if feed >= 0:
            return at, feed + 1
        return (at, body + LONGEST_MESSAGE) if len(self._rest) >= body + LONGEST_MESSAGE else None


def _message(raw: bytes) -> Message:
    return Message(raw[: STAMP_LENGTH - 1].decode(errors="replace"), raw[STAMP_LENGTH:])
