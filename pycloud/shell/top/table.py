"""Sessions in the order that somebody wants to see, and a place among them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pycloud.client import SessionRecord
from pycloud.shell.session_commands.list import in_order


@dataclass(frozen=True)
class TableQuery:
    """What is to be seen: sorted by ``order``, the other way round where ``reverse``; of those that hold every word of
    ``text``.
    """

    order: str = "created"
    reverse: bool = False
    filter_text: str = ""


@dataclass(frozen=True)
class Table:
    """The rows that came of a wish, and where each stands. ``total``: how many there are besides."""

    query: TableQuery = field(default_factory=TableQuery)
    rows: tuple[SessionRecord, ...] = ()
    index_by_session: Mapping[str, int] = field(default_factory=dict)
    total: int = 0


def build_table(records: Iterable[SessionRecord], query: TableQuery) -> Table:
    """The table of a wish."""
    by_age = sorted(records, key=_age_key)
    words = query.filter_text.lower().split()
    matching = (
        [record for record in by_age if all(word in _searchable_text(record) for word in words)] if words else by_age
    )
    rows = in_order(matching, query.order)
    if query.reverse:
        rows.reverse()
    index_by_session = {record.id: index for index, record in enumerate(rows)}
    return Table(query, tuple(rows), index_by_session, len(by_age))


@dataclass(frozen=True)
class Selection:
    """Which row is selected, by its session and by its number, and which is the first that is shown."""

    session: str = ""
    row: int = 0
    first_visible: int = 0

    def moved(self, table: Table, by: int) -> Selection:
        """So many rows further down, or up; not beyond the ends."""
        return self._at_row(table, self.row + by)

    def adjusted(self, table: Table, height: int) -> Selection:
        """In a new table, with so many rows to be seen: the same session, or where it is gone the one in its place."""
        row = table.index_by_session.get(self.session, self.row)
        selection = self._at_row(table, row)
        highest = max(0, len(table.rows) - height)
        return replace(
            selection,
            first_visible=max(min(selection.first_visible, selection.row, highest), selection.row - height + 1, 0),
        )

    def _at_row(self, table: Table, row: int) -> Selection:
        if not table.rows:
            return Selection()
        row = max(0, min(row, len(table.rows) - 1))
        return replace(self, session=table.rows[row].id, row=row)


def _age_key(record: SessionRecord) -> tuple[float, str]:
    return (record.created if isinstance(record.created, float) else 0.0, record.id)


def _searchable_text(record: SessionRecord) -> str:
    """All that a filter may find in a session."""
    labels = " ".join(f"{key}={value}" for key, value in (record.labels or {}).items())
    return f"{record.id} {record.name or ''} {record.state} {record.host or ''} {record.cloud} {labels}".lower()
