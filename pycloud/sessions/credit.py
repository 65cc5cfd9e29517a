"""What a stream may send, and for how long it lives: its window and its lease. Pure: ``now`` is monotonic seconds."""

from __future__ import annotations

from collections import deque

from pycloud.protocol.log_stream import KEEPALIVES_PER_LEASE


class FlowControl:
    """A viewer that acknowledges what it has dealt with gets more: at most ``window`` bytes are on their way to it.

    ``lease``: seconds that the stream lives without a word of its viewer. ``offset``: all before it was sent.
    """

    def __init__(self, offset: int, window: int, lease: float, now: float) -> None:
        self.offset, self._window, self._lease = offset, window, lease
        self._expires_at, self._keepalive_at = now + lease, now + lease / KEEPALIVES_PER_LEASE
        #: What is on its way: the offset behind each piece, and its bytes.
        self._in_flight: deque[tuple[int, int]] = deque()
        self._in_flight_bytes = 0

    def available(self) -> int:
        """How many bytes may be sent now; 0 also where there is so little room that it is not worth a message."""
        available = self._window - self._in_flight_bytes
        return available if available >= self._window // 4 else 0

    def sent(self, size: int, now: float) -> None:
        """A piece of ``size`` bytes went out."""
        self.offset += size
        self._in_flight.append((self.offset, size))
        self._in_flight_bytes += size
        self._keepalive_at = now + self._lease / KEEPALIVES_PER_LEASE

    def skip(self, size: int) -> None:
        """So many bytes will never be sent."""
        self.offset += size

    def acknowledged(self, offset: int) -> None:
        """The viewer has dealt with what came before ``offset``."""
        while self._in_flight and self._in_flight[0][0] <= offset:
            self._in_flight_bytes -= self._in_flight.popleft()[1]

    def touch(self, now: float) -> None:
        """The viewer said something."""
        self._expires_at = now + self._lease

    def expired(self, now: float) -> bool:
        """Whether the viewer has been silent for too long."""
        return now >= self._expires_at

    def keepalive_due(self, now: float) -> bool:
        """Whether it is time to say that the owner lives; then that is taken as said."""
        if now < self._keepalive_at:
            return False
        self._keepalive_at = now + self._lease / KEEPALIVES_PER_LEASE
        return True

    def wait_timeout(self, now: float) -> float:
        """Seconds until there is something to be done even if nothing happens."""
        return max(0.0, min(self._expires_at, self._keepalive_at) - now)
