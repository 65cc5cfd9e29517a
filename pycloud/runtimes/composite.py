"""The runtimes of one cloud as a single one: each session is handed to the one that it lives in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from pycloud.runtimes.base import Exit, OutputReader, ReadFrom, RecoveredSession, Runtime, SessionSpec, Started, Usage


class CompositeRuntime:
    """``parts``: one runtime of each kind, the preferred one first."""

    def __init__(self, parts: Sequence[Runtime]) -> None:
        self._parts = {part.kind: part for part in parts}
        self._by_session: dict[str, Runtime] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """What sessions may be here."""
        return tuple(self._parts)

    def unavailable_kinds(self) -> tuple[str, ...]:
        """The kinds of which none can be started at present."""
        return tuple(kind for kind, part in self._parts.items() if part.unavailable_reason() is not None)

    def unavailable_reason(self, kind: str) -> str | None:
        """Why no session of a kind can be started at present; None: they can."""
        return self._parts[kind].unavailable_reason()

    def host_name(self) -> str | None:
        """What an engine calls the host that its containers are on; None while nobody knows."""
        return next((name for part in self._parts.values() if (name := part.host_name())), None)

    def choose(self, wanted: Sequence[str]) -> str | None:
        """The first of the kinds ``wanted`` that there is here."""
        return next((kind for kind in wanted if kind in self._parts), None)

    def on_recovered(self, callback: Callable[[list[RecoveredSession]], None]) -> None:
        """Have ``report`` called with sessions that are found after ``recover``."""
        for part in self._parts.values():
            part.on_recovered = lambda found, part=part: callback(self._register(part, found))  # type: ignore[misc]

    def connect(self) -> None:
        """Get ready. Raises PyCloudError where that cannot be."""
        for part in self._parts.values():
            part.connect()

    def disconnect(self) -> None:
        """Let go; sessions go on."""
        for part in self._parts.values():
            part.disconnect()

    def recover(self) -> list[RecoveredSession]:
        """Every session that is still there, or is remembered."""
        return [each for part in self._parts.values() for each in self._register(part, part.recover())]

    def start_watching(self) -> None:
        """No other daemon uses this cloud's id."""
        for part in self._parts.values():
            part.start_watching()

    def start(self, spec: SessionSpec) -> Started:
        """Start a session of kind ``order.kind``. Raises RequestError, and then nothing of it is left, or will be."""
        part = self._by_session[spec.session] = self._parts[spec.runtime]
        try:
            return part.start(spec)
        except BaseException:
            del self._by_session[spec.session]
            raise

    def annotate(self, session: str, annotations: Mapping[str, Any]) -> None:
        """Merge ``note`` into the session's record."""
        self._runtime_of(session).annotate(session, annotations)

    def wait(self, session: str) -> Exit:
        """How the session ended, once it has."""
        return self._runtime_of(session).wait(session)

    def stop(self, session: str, grace: float, removal: Mapping[str, Any], max_grace: float = inf) -> bool:
        """End it and delete what it left; True when it was there. Raises RequestError where that cannot be done."""
        return self._runtime_of(session).stop(session, grace, removal, max_grace)

    def forget(self, session: str) -> None:
        """Delete all that is left of a session that has ended or was stopped."""
        self._runtime_of(session).forget(session)
        self._by_session.pop(session, None)

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        """The newest output. Raises FileNotFoundError where there is none."""
        return self._runtime_of(session).tail(session, count)

    def follow(self, session: str, read_from: ReadFrom, once: bool, on_output: Callable[[], None]) -> OutputReader:
        """Its output as it grows. Raises FileNotFoundError where there is none, BadRequest, EngineUnavailable."""
        return self._runtime_of(session).follow(session, read_from, once, on_output)

    def usage(self, session: str) -> Usage | None:
        """What it uses just now; None: it does not run. Raises RequestError where that cannot be told at present."""
        return self._runtime_of(session).usage(session)

    def details(self, session: str) -> Mapping[str, Any]:
        """What else this host knows of it, for people. Raises RequestError where that cannot be told at present."""
        return self._runtime_of(session).details(session)

    def _register(self, part: Runtime, found: list[RecoveredSession]) -> list[RecoveredSession]:
        for each in found:
            self._by_session[each.session] = part
        return found

    def _runtime_of(self, session: str) -> Runtime:
        """The runtime of a session; of one that nobody has, any will say so."""
        return self._by_session.get(session) or next(iter(self._parts.values()))
