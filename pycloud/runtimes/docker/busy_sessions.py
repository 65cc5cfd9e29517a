"""The sessions that somebody is at just now: others wait until it shows what comes of that, or leave them alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import gevent

#: Seconds between two looks whether somebody is done.
POLL_INTERVAL = 0.05


class BusySessions(Collection[str]):
    """The sessions that are started, stopped or looked at."""

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def __contains__(self, session: object) -> bool:
        return session in self._counts

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._counts))

    def __len__(self) -> int:
        return len(self._counts)

    @contextmanager
    def hold(self, session: str) -> Iterator[None]:
        """Be at a session, as others may be, too."""
        self._counts[session] += 1
        try:
            yield
        finally:
            self._counts[session] -= 1
            if not self._counts[session]:
                del self._counts[session]

    def wait_until_idle(self, session: str) -> None:
        """Wait until nobody is at a session."""
        while session in self:
            gevent.sleep(POLL_INTERVAL)
