"""All sessions on record, as they were last read. Pure: who reads them is in ``feed.py``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pycloud.client import SessionRecord


@dataclass(frozen=True)
class SessionsSnapshot:
    """A picture that nobody changes any more. ``complete``: whether all were read at least once.

    ``living``: words that name those that live, in order; ``others``: the rest. A word is an id or a name, and
    ``by_word`` says whose. ``live``: how many live, by cloud.
    """

    records: Mapping[str, SessionRecord] = field(default_factory=dict)
    complete: bool = False
    live_words: tuple[str, ...] = ()
    ended_words: tuple[str, ...] = ()
    by_word: Mapping[str, SessionRecord] = field(default_factory=dict)
    live_by_node: Mapping[str, int] = field(default_factory=dict)


class SessionCache:
    """What was read so far, by id; written by one thread."""

    def __init__(self) -> None:
        self._records: dict[str, SessionRecord] = {}
        self._complete = False

    def sync_ids(self, ids: Collection[str]) -> list[str]:
        """There are these and no others: returns those that are not known yet."""
        present = set(ids)
        for removed in self._records.keys() - present:
            del self._records[removed]
        return [session for session in ids if session not in self._records]

    def update(self, requested: Iterable[str], found: Iterable[SessionRecord]) -> None:
        """Records of ``asked`` were read; those that were not found are gone."""
        new = {record.id: record for record in found}
        for session in requested:
            if session not in new:
                self._records.pop(session, None)
        self._records.update(new)

    def mark_complete(self) -> None:
        """All were read."""
        self._complete = True

    def snapshot(self) -> SessionsSnapshot:
        """As it stands."""
        records = dict(self._records)
        by_word: dict[str, SessionRecord] = {}
        live_words: list[str] = []
        ended_words: list[str] = []
        for record in records.values():
            words = [record.id, record.name] if record.name else [record.id]
            (live_words if record.status else ended_words).extend(words)
            by_word.update(dict.fromkeys(words, record))
        live_by_node = Counter(record.cloud for record in records.values() if record.status)
        return SessionsSnapshot(
            records, self._complete, tuple(sorted(live_words)), tuple(sorted(ended_words)), by_word, live_by_node
        )
