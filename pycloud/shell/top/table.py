"""The filtered and sorted table of sessions, and the selection in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pycloud.client import SessionRecord
from pycloud.shell.base.session_order import in_order


@dataclass(frozen=True)
class TableQuery:
    """Sort order and filter. ``order``: one of ``SORT_ORDERS``; ``reverse``: in descending order. ``filter_text``: a
    session matches if it contains every word.
    """

    order: str = "created"
    reverse: bool = False
    filter_text: str = ""


@dataclass(frozen=True)
class Table:
    """The rows for a query, and the index of each by session id. ``total``: number of sessions before the filter."""

    query: TableQuery = field(default_factory=TableQuery)
    rows: tuple[SessionRecord, ...] = ()
    index_by_session: Mapping[str, int] = field(default_factory=dict)
    total: int = 0


def build_table(records: Iterable[SessionRecord], query: TableQuery) -> Table:
    """Filter and sort ``records`` by ``query``."""
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
    """The selected row, by session id and by index, and the index of the first visible row."""

    session: str = ""
    row: int = 0
    first_visible: int = 0

    def moved(self, table: Table, by: int) -> Selection:
        """Moved ``by`` rows down (negative: up), within the table."""
        return self._at_row(table, self.row + by)

    def adjusted(self, table: Table, height: int) -> Selection:
        """Adjusted to a new table with ``height`` visible rows: the same session, or if gone the one in its place."""
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
    """The text of a session that a filter searches, in lower case."""
    labels = " ".join(f"{key}={value}" for key, value in (record.labels or {}).items())
    return f"{record.id} {record.name or ''} {record.state} {record.host or ''} {record.cloud} {labels}".lower()
