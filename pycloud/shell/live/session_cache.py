"""A cache of all session records. Pure: ``feed.py`` reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pycloud.client import SessionRecord


@dataclass(frozen=True)
class SessionsSnapshot:
    """An immutable snapshot. ``records``: by session id. ``complete``: whether all were read at least once.

    ``live_words``: ids and names of live sessions, sorted; ``ended_words``: of the others. ``by_word``: the record for
    each of these words. ``live_by_node``: number of live sessions by node id.
    """

    records: Mapping[str, SessionRecord] = field(default_factory=dict)
    complete: bool = False
    live_words: tuple[str, ...] = ()
    ended_words: tuple[str, ...] = ()
    by_word: Mapping[str, SessionRecord] = field(default_factory=dict)
    live_by_node: Mapping[str, int] = field(default_factory=dict)


class SessionCache:
    """The records read so far, by session id. Only one thread may use it."""

    def __init__(self) -> None:
        self._records: dict[str, SessionRecord] = {}
        self._complete = False

    def sync_ids(self, ids: Collection[str]) -> list[str]:
        """Remove all records except those of ``ids``; returns the ids without a record."""
        present = set(ids)
        for removed in self._records.keys() - present:
            del self._records[removed]
        return [session for session in ids if session not in self._records]

    def update(self, requested: Iterable[str], found: Iterable[SessionRecord]) -> None:
        """Store ``found``, the records read for ``requested``; ids without a record are removed."""
        new = {record.id: record for record in found}
        for session in requested:
            if session not in new:
                self._records.pop(session, None)
        self._records.update(new)

    def mark_complete(self) -> None:
        """Mark that all records were read once."""
        self._complete = True

    def snapshot(self) -> SessionsSnapshot:
        """The current content."""
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
