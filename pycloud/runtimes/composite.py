"""The runtimes of one node combined into one: each call is passed to the runtime of the session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from pycloud.runtimes.base import Exit, OutputReader, ReadFrom, RecoveredSession, Runtime, SessionSpec, Started, Usage


class CompositeRuntime:
    """Combines ``parts``: one runtime of each kind, the preferred one first. Methods are as in ``base.Runtime``."""

    def __init__(self, parts: Sequence[Runtime]) -> None:
        self._parts = {part.kind: part for part in parts}
        self._by_session: dict[str, Runtime] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of sessions that can run here."""
        return tuple(self._parts)

    def unavailable_kinds(self) -> tuple[str, ...]:
        """Return the kinds of which no session can be started at present."""
        return tuple(kind for kind, part in self._parts.items() if part.unavailable_reason() is not None)

    def unavailable_reason(self, kind: str) -> str | None:
        """Return why no session of a kind can be started at present; None where that is possible."""
        return self._parts[kind].unavailable_reason()

    def host_name(self) -> str | None:
        """Return the host name that a container engine reports; None while it is unknown."""
        return next((name for part in self._parts.values() if (name := part.host_name())), None)

    def choose(self, wanted: Sequence[str]) -> str | None:
        """Return the first of the kinds ``wanted`` that is available here, or None."""
        return next((kind for kind in wanted if kind in self._parts), None)

    def on_recovered(self, callback: Callable[[list[RecoveredSession]], None]) -> None:
        """Have ``callback`` called with sessions that are found after ``recover``."""
        for part in self._parts.values():
            part.on_recovered = lambda found, part=part: callback(self._register(part, found))  # type: ignore[misc]

    def connect(self) -> None:
        for part in self._parts.values():
            part.connect()

    def disconnect(self) -> None:
        for part in self._parts.values():
            part.disconnect()

    def recover(self) -> list[RecoveredSession]:
        return [each for part in self._parts.values() for each in self._register(part, part.recover())]

    def start_watching(self) -> None:
        for part in self._parts.values():
            part.start_watching()

    def start(self, spec: SessionSpec) -> Started:
        """Start a session of kind ``spec.runtime``. Raises RequestError, then removes all of it, now or later."""
        part = self._by_session[spec.session] = self._parts[spec.runtime]
        try:
            return part.start(spec)
        except BaseException:
            del self._by_session[spec.session]
            raise

    def annotate(self, session: str, annotations: Mapping[str, Any]) -> None:
        self._runtime_of(session).annotate(session, annotations)

    def wait(self, session: str) -> Exit:
        return self._runtime_of(session).wait(session)

    def stop(self, session: str, grace: float, removal: Mapping[str, Any], max_grace: float = inf) -> bool:
        return self._runtime_of(session).stop(session, grace, removal, max_grace)

    def forget(self, session: str) -> None:
        self._runtime_of(session).forget(session)
        self._by_session.pop(session, None)

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        return self._runtime_of(session).tail(session, count)

    def follow(self, session: str, read_from: ReadFrom, once: bool, on_output: Callable[[], None]) -> OutputReader:
        return self._runtime_of(session).follow(session, read_from, once, on_output)

    def usage(self, session: str) -> Usage | None:
        return self._runtime_of(session).usage(session)

    def details(self, session: str) -> Mapping[str, Any]:
        return self._runtime_of(session).details(session)

    def _register(self, part: Runtime, found: list[RecoveredSession]) -> list[RecoveredSession]:
        for each in found:
            self._by_session[each.session] = part
        return found

    def _runtime_of(self, session: str) -> Runtime:
        """Return the runtime of a session; for an unknown session any runtime, which then reports that."""
        return self._by_session.get(session) or next(iter(self._parts.values()))
