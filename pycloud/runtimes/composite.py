"""The runtimes of one cloud as a single one: each session is handed to the one that it lives in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from pycloud.runtimes.base import Exit, Found, Order, Reader, Runtime, Start, Started, Usage


class Runtimes:
    """``parts``: one runtime of each kind, the preferred one first."""

    def __init__(self, parts: Sequence[Runtime]) -> None:
        self._parts = {part.kind: part for part in parts}
        self._home: dict[str, Runtime] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """What sessions may be here."""
        return tuple(self._parts)

    def unavailable(self) -> tuple[str, ...]:
        """The kinds of which none can be started at present."""
        return tuple(kind for kind, part in self._parts.items() if part.trouble() is not None)

    def trouble(self, kind: str) -> str | None:
        """Why no session of a kind can be started at present; None: they can."""
        return self._parts[kind].trouble()

    def host_name(self) -> str | None:
        """What an engine calls the host that its containers are on; None while nobody knows."""
        return next((name for part in self._parts.values() if (name := part.host_name())), None)

    def choose(self, wanted: Sequence[str]) -> str | None:
        """The first of the kinds ``wanted`` that there is here."""
        return next((kind for kind in wanted if kind in self._parts), None)

    def on_found(self, report: Callable[[list[Found]], None]) -> None:
        """Have ``report`` called with sessions that are found after ``recover``."""
        for part in self._parts.values():
            part.on_found = lambda found, part=part: report(self._place(part, found))  # type: ignore[misc]

    def open(self) -> None:
        """Get ready. Raises PyCloudError where that cannot be."""
        for part in self._parts.values():
            part.open()

    def close(self) -> None:
        """Let go; sessions go on."""
        for part in self._parts.values():
            part.close()

    def recover(self) -> list[Found]:
        """Every session that is still there, or is remembered."""
        return [each for part in self._parts.values() for each in self._place(part, part.recover())]

    def begin(self) -> None:
        """No other daemon uses this cloud's id."""
        for part in self._parts.values():
            part.begin()

    def start(self, order: Order) -> Started:
        """Start a session of kind ``order.kind``. Raises RequestError, and then nothing of it is left, or will be."""
        part = self._home[order.session] = self._parts[order.kind]
        try:
            return part.start(order)
        except BaseException:
            del self._home[order.session]
            raise

    def note(self, session: str, note: Mapping[str, Any]) -> None:
        """Merge ``note`` into the session's record."""
        self._at(session).note(session, note)

    def wait(self, session: str) -> Exit:
        """How the session ended, once it has."""
        return self._at(session).wait(session)

    def stop(self, session: str, grace: float, note: Mapping[str, Any], at_most: float = inf) -> bool:
        """End it and delete what it left; True when it was there. Raises RequestError where that cannot be done."""
        return self._at(session).stop(session, grace, note, at_most)

    def forget(self, session: str) -> None:
        """Delete all that is left of a session that has ended or was stopped."""
        self._at(session).forget(session)
        self._home.pop(session, None)

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        """The newest output. Raises FileNotFoundError where there is none."""
        return self._at(session).tail(session, count)

    def follow(self, session: str, start: Start, once: bool, more: Callable[[], None]) -> Reader:
        """Its output as it grows. Raises FileNotFoundError where there is none, BadRequest, EngineUnavailable."""
        return self._at(session).follow(session, start, once, more)

    def usage(self, session: str) -> Usage | None:
        """What it uses just now; None: it does not run. Raises RequestError where that cannot be told at present."""
        return self._at(session).usage(session)

    def details(self, session: str) -> Mapping[str, Any]:
        """What else this host knows of it, for people. Raises RequestError where that cannot be told at present."""
        return self._at(session).details(session)

    def _place(self, part: Runtime, found: list[Found]) -> list[Found]:
        for each in found:
            self._home[each.session] = part
        return found

    def _at(self, session: str) -> Runtime:
        """The runtime of a session; of one that nobody has, any will say so."""
        return self._home.get(session) or next(iter(self._parts.values()))
