"""The journal of one session: the meaning of its lines, and the state of a session after them. Pure.

Lines, in the order in which they appear (all times are Unix seconds)::

    {"starting": t, "port": 40123, "record": {...}}                    before any other step of the start
    {"running": t, "pid": 1, "start_time": 2, "boot_id": "...", "port": 40123}
    {"note": {...}}                                                    merged into the record
    {"ended": t, "exit_code": 0, "reason": null}
    {"removing": t, "note": {...}, "grace": 10}                        before the first signal
    {"removed": t}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

JournalLine = dict[str, Any]

STARTING, RUNNING, ENDED, REMOVING, REMOVED = "starting", "running", "ended", "removing", "removed"


_encoder = json.JSONEncoder(separators=(",", ":"))


class JournalError(ValueError):
    """The journal cannot have been written by a keeper."""


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """The state of a session according to its journal. Times are Unix seconds, None before the event."""

    session: str
    starting: float
    port: int | None = None
    record: dict[str, Any] = field(default_factory=dict)
    running: float | None = None
    pid: int | None = None
    start_time: int | None = None
    boot_id: str | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str | None = None
    removing: float | None = None
    removal_note: dict[str, Any] | None = None
    grace: float = 0.0
    removed: float | None = None

    @property
    def state(self) -> str:
        """The last state that the session has reached."""
        if self.removed is not None:
            return REMOVED
        if self.removing is not None:
            return REMOVING
        if self.ended is not None:
            return ENDED
        return STARTING if self.running is None else RUNNING


def decode(data: bytes) -> tuple[list[JournalLine], int]:
    """Return the lines of a journal and the bytes that they take; a torn line may follow. Raises JournalError."""
    whole = data.rfind(b"\n") + 1
    lines = []
    for number, text in enumerate(data[:whole].splitlines(), 1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise JournalError(f"line {number} is not JSON: {error}") from error
        if not isinstance(line, dict):
            raise JournalError(f"line {number} is not an object")
        lines.append(line)
    return lines, whole


def encode(line: JournalLine) -> bytes:
    """Return the line as bytes, newline included."""
    return _encoder.encode(line).encode("ascii") + b"\n"


def fold(session: str, lines: Iterable[JournalLine]) -> SessionEntry | None:
    """Return the session's entry after ``lines``; None when there are none. Raises JournalError."""
    entry: SessionEntry | None = None
    for line in lines:
        entry = apply(session, entry, line)
    return entry


def apply(session: str, entry: SessionEntry | None, line: JournalLine) -> SessionEntry:
    """Return the session's entry after one more line. Lines of an unknown kind change nothing. Raises JournalError.

    Applying a line a second time changes nothing but the times of ``starting`` and ``running``: the first end counts.
    """
    try:
        if entry is None:
            return SessionEntry(session, float(line["starting"]), _number(line, "port"), dict(line["record"]))
        return replace(entry, **_changes(entry, line))
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(f"invalid line ({error!r}): {str(line)[:200]}") from error


def _changes(entry: SessionEntry, line: JournalLine) -> dict[str, Any]:
    if "removing" in line:
        if entry.removing is not None:
            return {}
        removal_note = dict(line.get("note") or {})
        return {
            "removing": float(line["removing"]),
            "removal_note": removal_note,
            "grace": float(line.get("grace") or 0.0),
        }
    if "removed" in line:
        return {"removed": float(line["removed"])}
    if "ended" in line:
        if entry.ended is not None:
            return {}
        return {"ended": float(line["ended"]), "exit_code": _number(line, "exit_code"), "reason": line.get("reason")}
    if "running" in line:
        return {
            "running": float(line["running"]),
            "pid": int(line["pid"]),
            "start_time": int(line["start_time"]),
            "boot_id": str(line["boot_id"]),
            "port": _number(line, "port"),
        }
    return {"record": {**entry.record, **line["note"]}} if "note" in line else {}


def _number(line: JournalLine, key: str) -> int | None:
    value = line.get(key)
    return None if value is None else int(value)


def describe(entry: SessionEntry) -> dict[str, Any]:
    """Return the session in the form of the operation ``list``."""
    return {
        "session": entry.session,
        "state": entry.state,
        "pid": entry.pid,
        "port": entry.port,
        "started": entry.running,
        "ended": entry.ended,
        "exit_code": entry.exit_code,
        "reason": entry.reason,
        "record": entry.record,
        "removing": entry.removal_note,
    }
