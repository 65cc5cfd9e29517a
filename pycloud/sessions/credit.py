"""What a stream may send, and for how long it lives: its window and its lease. Pure: ``now`` is monotonic seconds."""

from __future__ import annotations

from collections import deque

from pycloud.protocol.log_stream import BEATS


class Credit:
    """A viewer that acknowledges what it has dealt with gets more: at most ``window`` bytes are on their way to it.

    ``lease``: seconds that the stream lives without a word of its viewer. ``offset``: all before it was sent.
    """

    def __init__(self, offset: int, window: int, lease: float, now: float) -> None:
        self.offset, self._window, self._lease = offset, window, lease
        self._until, self._beat_at = now + lease, now + lease / BEATS
        #: What is on its way: the offset behind each piece, and its bytes.
        self._pieces: deque[tuple[int, int]] = deque()
        self._on_its_way = 0

    def room(self) -> int:
        """How many bytes may be sent now; 0 also where there is so little room that it is not worth a message."""
        room = self._window - self._on_its_way
        return room if room >= self._window // 4 else 0

    def sent(self, size: int, now: float) -> None:
        """A piece of ``size`` bytes went out."""
        self.offset += size
        self._pieces.append((self.offset, size))
        self._on_its_way += size
        self._beat_at = now + self._lease / BEATS

    def skip(self, size: int) -> None:
        """So many bytes will never be sent."""
        self.offset += size

    def acknowledged(self, offset: int) -> None:
        """The viewer has dealt with what came before ``offset``."""
        while self._pieces and self._pieces[0][0] <= offset:
            self._on_its_way -= self._pieces.popleft()[1]

    def renewed(self, now: float) -> None:
        """The viewer said something."""
        self._until = now + self._lease

    def lapsed(self, now: float) -> bool:
        """Whether the viewer has been silent for too long."""
        return now >= self._until

    def beat(self, now: float) -> bool:
        """Whether it is time to say that the owner lives; then that is taken as said."""
        if now < self._beat_at:
            return False
        self._beat_at = now + self._lease / BEATS
        return True

    def pause(self, now: float) -> float:
        """Seconds until there is something to be done even if nothing happens."""
        return max(0.0, min(self._until, self._beat_at) - now)
