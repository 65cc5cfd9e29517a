"""Which requests were received before: only a repeat gets the stored response again. Bounded memory; no I/O."""

from __future__ import annotations

#: Number of ids in one generation; there are two generations.
GENERATION_SIZE = 20_000


class SeenRequests:
    """The newest requests by op and id."""

    def __init__(self) -> None:
        self._current: set[tuple[str, str]] = set()
        self._previous: set[tuple[str, str]] = set()

    def check_and_add(self, op: str, request_id: str) -> bool:
        """Record a request; True where it was recorded before.

        A node that comes second to a create it received once finds it answered: that response was just published.
        """
        key = (op, request_id)
        if key in self._current or key in self._previous:
            return True
        if len(self._current) >= GENERATION_SIZE:
            self._previous, self._current = self._current, set()
        self._current.add(key)
        return False
