"""How far a viewer has come in the output of a session: what is new to it, what is missing, what came twice. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET

from pycloud.protocol.log_stream import StreamAlive, StreamEnd, StreamMessage, StreamOutput, StreamSkipped, data_of


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


Followed = Output | Skipped | Ended


class Progress:
    """``offset``: what comes next. ``place``: what the owner wants back to find that again."""

    def __init__(self) -> None:
        self.offset = 0
        self.place: str | None = None
        #: Where something was missing last time that the owner was asked anew.
        self._missed: int | None = None

    def begin(self, offset: int, place: str | None = None) -> None:
        """Nothing was read yet; it begins here."""
        self.offset, self.place = offset, place

    def follow(self, message: StreamMessage) -> list[Followed] | None:
        """What a message comes to; None: something before it is missing, and the owner is to be asked anew.

        Where that was asked for in vain it is lost.
        """
        if not isinstance(message, StreamOutput | StreamSkipped | StreamAlive | StreamEnd):
            return []
        missing = message.offset - self.offset
        if missing > 0 and self._missed != self.offset:
            self._missed = self.offset
            return None
        found: list[Followed] = []
        if missing > 0:
            found.append(self._skip(message.offset))
        if isinstance(message, StreamOutput):
            found += self._take(message)
        elif isinstance(message, StreamSkipped):
            if message.bytes is None:
                found.append(Skipped(self.offset, None))
            elif message.offset + message.bytes > self.offset:
                found.append(self._skip(message.offset + message.bytes))
        elif isinstance(message, StreamEnd):
            code = message.exit_code if isinstance(message.exit_code, int) else None
            found.append(Ended(self.offset, message.state, code, message.reason or None))
        return found

    def _skip(self, to: int) -> Skipped:
        lost, self.offset = Skipped(self.offset, to - self.offset), to
        return lost

    def _take(self, message: StreamOutput) -> list[Output]:
        data = data_of(message)[self.offset - message.offset :]
        if message.place is not UNSET:
            self.place = message.place
        if not data:
            return []
        at, self.offset = self.offset, self.offset + len(data)
        return [Output(at, data)]
