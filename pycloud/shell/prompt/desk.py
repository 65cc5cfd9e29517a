"""Which events are told above the prompt, and which are only counted. Pure; times are of the monotonic clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pycloud.protocol.messages import Event

#: As many are told one by one; more at once are summed up in a line.
ONE_BY_ONE = 5
#: Seconds between two times that something is told: a burst becomes few lines.
SELDOM = 1.0
#: Seconds after a command's end in which what it did itself is still being heard of.
ECHO = 2.0
#: What a cloud says when ``drain`` or ``undrain`` has told it to.
TOLD = ("cloud.draining", "cloud.up")
#: As many are remembered between two times; of the others only the number is known.
MOST = 200


@dataclass
class Desk:
    """Takes events in, and hands lines out. ``touched``: the sessions and clouds that the commands here were about."""

    _waiting: list[Event] = field(default_factory=list)
    _counted: Counter[str] = field(default_factory=Counter)
    _told_at: float = float("-inf")
    _touched: dict[str, float] = field(default_factory=dict)

    def heard(self, events: Sequence[Event]) -> None:
        """Something happened, here or elsewhere."""
        for event in events:
            if len(self._waiting) < MOST:
                self._waiting.append(event)
            else:
                self._counted[event.event] += 1

    def done(self, touched: Collection[str], now: float) -> None:
        """A command here is over; it was about these sessions and clouds."""
        self._touched = {session: until for session, until in self._touched.items() if until > now}
        self._touched.update(dict.fromkeys(touched, now + ECHO))

    def due(self, now: float) -> float | None:
        """In how many seconds there is something to tell; None: there is nothing."""
        return max(0.0, self._told_at + SELDOM - now) if self._waiting else None

    def forget(self) -> None:
        """Nobody wants to hear of what is waiting."""
        self._waiting, self._counted = [], Counter()

    def tell(self, now: float) -> tuple[list[Event], Counter[str]]:
        """What is to be told one by one, and what is only to be summed up, by kind. Either may be empty."""
        events = [event for event in self._waiting if self._touched.get(_about(event), now) <= now]
        counted = self._counted
        self.forget()
        if events or counted:
            self._told_at = now
        if len(events) + sum(counted.values()) > ONE_BY_ONE:
            return [], counted + Counter(event.event for event in events)
        return events, counted


def _about(event: Event) -> str:
    """What a command must have been about to have brought this about: a session, or a cloud that was told to drain."""
    return event.session or (event.cloud if event.event in TOLD else "")


def summary(counted: Counter[str]) -> str:
    """One line for many events, the most frequent kinds first."""
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in counted.most_common())
    return f"{sum(counted.values()):,} events: {kinds}. `events` tells them one by one"
