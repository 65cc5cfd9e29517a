"""Which requests were heard before: only a repeat is answered again from store. Bounded memory; no I/O."""

from __future__ import annotations

#: How many ids one generation holds; two are kept.
GENERATION = 20_000


class Repeats:
    """The newest requests by op and id."""

    def __init__(self) -> None:
        self._now: set[tuple[str, str]] = set()
        self._before: set[tuple[str, str]] = set()

    def heard(self, op: str, request_id: str) -> bool:
        """Note a request; True where it was noted before.

        A cloud that comes second to a create it heard once finds it answered: that answer has just been published.
        """
        key = (op, request_id)
        if key in self._now or key in self._before:
            return True
        if len(self._now) >= GENERATION:
            self._before, self._now = self._now, set()
        self._now.add(key)
        return False
