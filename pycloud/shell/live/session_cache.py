"""All sessions on record, as they were last read. Pure: who reads them is in ``feed.py``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pycloud.client import SessionRecord


@dataclass(frozen=True)
class Sessions:
    """A picture that nobody changes any more. ``complete``: whether all were read at least once.

    ``living``: words that name those that live, in order; ``others``: the rest. A word is an id or a name, and
    ``by_word`` says whose. ``live``: how many live, by cloud.
    """

    records: Mapping[str, SessionRecord] = field(default_factory=dict)
    complete: bool = False
    living: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    by_word: Mapping[str, SessionRecord] = field(default_factory=dict)
    live: Mapping[str, int] = field(default_factory=dict)


class Roll:
    """What was read so far, by id; written by one thread."""

    def __init__(self) -> None:
        self._records: dict[str, SessionRecord] = {}
        self._complete = False

    def keep(self, ids: Collection[str]) -> list[str]:
        """There are these and no others: returns those that are not known yet."""
        there = set(ids)
        for gone in self._records.keys() - there:
            del self._records[gone]
        return [session for session in ids if session not in self._records]

    def put(self, asked: Iterable[str], found: Iterable[SessionRecord]) -> None:
        """Records of ``asked`` were read; those that were not found are gone."""
        new = {record.id: record for record in found}
        for session in asked:
            if session not in new:
                self._records.pop(session, None)
        self._records.update(new)

    def completed(self) -> None:
        """All were read."""
        self._complete = True

    def picture(self) -> Sessions:
        """As it stands."""
        records = dict(self._records)
        by_word: dict[str, SessionRecord] = {}
        living: list[str] = []
        others: list[str] = []
        for record in records.values():
            words = [record.id, record.name] if record.name else [record.id]
            (living if record.status else others).extend(words)
            by_word.update(dict.fromkeys(words, record))
        live = Counter(record.cloud for record in records.values() if record.status)
        return Sessions(records, self._complete, tuple(sorted(living)), tuple(sorted(others)), by_word, live)
