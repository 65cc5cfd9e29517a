"""What the user of ``top`` does, key by key: the wish, the place, the question that is open. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pycloud.shell.base.flags import ORDERS
from pycloud.shell.top.table import Place, Table, Wish


@dataclass
class State:
    """``typing``: a filter is being typed. ``asked``: the session whose removal is asked about; empty: none.

    ``log``: the log of the selected session is shown. ``said``: what happened last. ``height``: rows on the screen.
    """

    wish: Wish = field(default_factory=Wish)
    table: Table = field(default_factory=Table)
    place: Place = field(default_factory=Place)
    typing: bool = False
    asked: str = ""
    log: bool = False
    said: str = ""
    height: int = 1
    over: bool = False

    def arranged(self, table: Table) -> None:
        """A new table is there."""
        self.table = table
        self.place = self.place.settled(table, self.height)

    def sized(self, height: int) -> None:
        """So many rows can be seen."""
        self.height = max(1, height)
        self.place = self.place.settled(self.table, self.height)

    def press(self, key: str) -> str:
        """A key, by the name that prompt_toolkit has for it; returns the session that is to be removed, if any."""
        if self.asked:
            return self._answer(key)
        self.said = ""
        if self.typing:
            self._type(key)
        elif (move := self._moves().get(key)) is not None:
            self.place = self.place.moved(self.table, move).settled(self.table, self.height)
        elif (deed := self._deeds().get(key)) is not None:
            deed()
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

    def _deeds(self) -> dict[str, Callable[[], None]]:
        return {
            **dict.fromkeys(("q", "escape", "c-c", "c-d"), self._leave),
            **dict.fromkeys(("l", "c-m"), self._log),
            "s": lambda: self._want(order=ORDERS[(ORDERS.index(self.wish.order) + 1) % len(ORDERS)]),
            "r": lambda: self._want(reverse=not self.wish.reverse),
            "/": self._filter,
            "x": self._ask,
        }

    def _type(self, key: str) -> None:
        text = self.wish.text
        if key == "c-m":
            self.typing = False
        elif key in ("escape", "c-c"):
            self.typing = False
            self._want(text="")
        elif key in ("c-h", "c-u", "delete"):
            self._want(text="" if key == "c-u" else text[:-1])
        elif len(key) == 1 and key.isprintable():
            self._want(text=text + key)

    def _answer(self, key: str) -> str:
        session, self.asked = self.asked, ""
        self.said = "" if key in ("y", "Y") else "Nothing was removed."
        return session if not self.said else ""

    def _want(self, *, order: str | None = None, reverse: bool | None = None, text: str | None = None) -> None:
        self.wish = Wish(
            self.wish.order if order is None else order,
            self.wish.reverse if reverse is None else reverse,
            self.wish.text if text is None else text,
        )

    def _leave(self) -> None:
        self.over = True

    def _log(self) -> None:
        self.log = not self.log and bool(self.place.session)

    def _filter(self) -> None:
        self.typing = True

    def _ask(self) -> None:
        self.asked = self.place.session
        self.said = "" if self.asked else "There is no session to remove."
