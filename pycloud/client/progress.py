"""How far a viewer has come in the output of a session: what is new to it, what is missing, what came twice. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET

from pycloud.protocol.log_stream import (
    StreamEnd,
    StreamKeepalive,
    StreamMessage,
    StreamOutput,
    StreamSkipped,
    decode_output,
)


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
