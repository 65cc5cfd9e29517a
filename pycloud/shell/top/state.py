"""The state of ``top``, changed by keys: query, selection, open question. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pycloud.shell.base.flags import SORT_ORDERS
from pycloud.shell.top.table import Selection, Table, TableQuery


@dataclass
class TopState:
    """``editing_filter``: a filter is being typed. ``pending_removal``: the session whose removal is to be confirmed;
    empty: none.

    ``log``: the log of the selected session is shown. ``message``: the last result. ``height``: visible rows.
    """

    query: TableQuery = field(default_factory=TableQuery)
    table: Table = field(default_factory=Table)
    selection: Selection = field(default_factory=Selection)
    editing_filter: bool = False
    pending_removal: str = ""
    log: bool = False
    message: str = ""
    height: int = 1
    exiting: bool = False

    def set_table(self, table: Table) -> None:
        """Replace the table and adjust the selection."""
        self.table = table
        self.selection = self.selection.adjusted(table, self.height)

    def set_height(self, height: int) -> None:
        """Set the number of visible rows (at least 1) and adjust the selection."""
        self.height = max(1, height)
        self.selection = self.selection.adjusted(self.table, self.height)

    def press(self, key: str) -> str:
        """Handle a key, by its name in prompt_toolkit. Returns the session to remove; empty: none."""
        if self.pending_removal:
            return self._confirm_removal(key)
        self.message = ""
        if self.editing_filter:
            self._edit_filter(key)
        elif (move := self._moves().get(key)) is not None:
            self.selection = self.selection.moved(self.table, move).adjusted(self.table, self.height)
        elif (action := self._actions().get(key)) is not None:
            action()
        return ""

    def _moves(self) -> dict[str, int]:
        page, end = max(1, self.height - 1), len(self.table.rows)
        return {
            **dict.fromkeys(("up", "k"), -1),
            **dict.fromkeys(("down", "j"), 1),
            **dict.fromkeys(("pageup", "c-b"), -page),
            **dict.fromkeys(("pagedown", "c-f", " "), page),
            **dict.fromkeys(("home", "g"), -end),
            **dict.fromkeys(("end", "G"), end),
        }

    def _actions(self) -> dict[str, Callable[[], None]]:
        return {
            **dict.fromkeys(("q", "escape", "c-c", "c-d"), self._exit),
            **dict.fromkeys(("l", "c-m"), self._toggle_log),
            "s": lambda: self._change_query(
                order=SORT_ORDERS[(SORT_ORDERS.index(self.query.order) + 1) % len(SORT_ORDERS)]
            ),
            "r": lambda: self._change_query(reverse=not self.query.reverse),
            "/": self._start_filter,
            "x": self._ask_removal,
        }

    def _edit_filter(self, key: str) -> None:
        text = self.query.filter_text
        if key == "c-m":
            self.editing_filter = False
        elif key in ("escape", "c-c"):
            self.editing_filter = False
            self._change_query(text="")
        elif key in ("c-h", "c-u", "delete"):
            self._change_query(text="" if key == "c-u" else text[:-1])
        elif len(key) == 1 and key.isprintable():
            self._change_query(text=text + key)

    def _confirm_removal(self, key: str) -> str:
        session, self.pending_removal = self.pending_removal, ""
        self.message = "" if key in ("y", "Y") else "Nothing was removed."
        return session if not self.message else ""

    def _change_query(self, *, order: str | None = None, reverse: bool | None = None, text: str | None = None) -> None:
        self.query = TableQuery(
            self.query.order if order is None else order,
            self.query.reverse if reverse is None else reverse,
            self.query.filter_text if text is None else text,
        )

    def _exit(self) -> None:
        self.exiting = True

    def _toggle_log(self) -> None:
        self.log = not self.log and bool(self.selection.session)

    def _start_filter(self) -> None:
        self.editing_filter = True

    def _ask_removal(self) -> None:
        self.pending_removal = self.selection.session
        self.message = "" if self.pending_removal else "There is no session to remove."
