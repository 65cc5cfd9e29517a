"""Which requests were heard before: only a repeat is answered again from store. Bounded memory; no I/O."""

from __future__ import annotations

#: How many ids one generation holds; two are kept.
GENERATION_SIZE = 20_000


class SeenRequests:
    """The newest requests by op and id."""

    def __init__(self) -> None:
        self._current: set[tuple[str, str]] = set()
        self._previous: set[tuple[str, str]] = set()

    def check_and_add(self, op: str, request_id: str) -> bool:
        """Note a request; True where it was noted before.

        A cloud that comes second to a create it heard once finds it answered: that answer has just been published.
        """
        key = (op, request_id)
        if key in self._current or key in self._previous:
            return True
        if len(self._current) >= GENERATION_SIZE:
            self._previous, self._current = self._current, set()
        self._current.add(key)
        return False
