"""Sessions in the order that somebody wants to see, and a place among them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pycloud.client import SessionRecord
from pycloud.shell.session_commands.list import in_order


@dataclass(frozen=True)
class Wish:
    """What is to be seen: sorted by ``order``, the other way round where ``reverse``; of those that hold every word of
    ``text``.
    """

    order: str = "created"
    reverse: bool = False
    text: str = ""


@dataclass(frozen=True)
class Table:
    """The rows that came of a wish, and where each stands. ``total``: how many there are besides."""

    wish: Wish = field(default_factory=Wish)
    rows: tuple[SessionRecord, ...] = ()
    places: Mapping[str, int] = field(default_factory=dict)
    total: int = 0


def arrange(records: Iterable[SessionRecord], wish: Wish) -> Table:
    """The table of a wish."""
    everything = sorted(records, key=_age)
    words = wish.text.lower().split()
    chosen = [record for record in everything if all(word in _said(record) for word in words)] if words else everything
    rows = in_order(chosen, wish.order)
    if wish.reverse:
        rows.reverse()
    places = {record.id: place for place, record in enumerate(rows)}
    return Table(wish, tuple(rows), places, len(everything))


@dataclass(frozen=True)
class Place:
    """Which row is selected, by its session and by its number, and which is the first that is shown."""

    session: str = ""
    row: int = 0
    top: int = 0

    def moved(self, table: Table, by: int) -> Place:
        """So many rows further down, or up; not beyond the ends."""
        return self._at(table, self.row + by)

    def settled(self, table: Table, height: int) -> Place:
        """In a new table, with so many rows to be seen: the same session, or where it is gone the one in its place."""
        row = table.places.get(self.session, self.row)
        place = self._at(table, row)
        highest = max(0, len(table.rows) - height)
        return replace(place, top=max(min(place.top, place.row, highest), place.row - height + 1, 0))

    def _at(self, table: Table, row: int) -> Place:
        if not table.rows:
            return Place()
        row = max(0, min(row, len(table.rows) - 1))
        return replace(self, session=table.rows[row].id, row=row)


def _age(record: SessionRecord) -> tuple[float, str]:
    return (record.created if isinstance(record.created, float) else 0.0, record.id)


def _said(record: SessionRecord) -> str:
    """All that a filter may find in a session."""
    labels = " ".join(f"{key}={value}" for key, value in (record.labels or {}).items())
    return f"{record.id} {record.name or ''} {record.state} {record.host or ''} {record.cloud} {labels}".lower()
