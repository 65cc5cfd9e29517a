"""The sessions on which operations are in progress: other tasks wait for these to finish, or skip the sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import gevent

#: Seconds between two checks whether the operations on a session have finished.
POLL_INTERVAL = 0.05


class BusySessions(Collection[str]):
    """The sessions that are being started, stopped or inspected."""

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
        """Mark a session as busy; several tasks may do so at the same time."""
        self._counts[session] += 1
        try:
            yield
        finally:
            self._counts[session] -= 1
            if not self._counts[session]:
                del self._counts[session]

    def wait_until_idle(self, session: str) -> None:
        """Wait until no operation on the session is in progress."""
        while session in self:
            gevent.sleep(POLL_INTERVAL)
