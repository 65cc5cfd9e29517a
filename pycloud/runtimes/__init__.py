"""The contract of a runtime: what starts, watches and ends sessions of one kind. One kind is one file here.

A runtime decides nothing and knows nothing of Redis. It keeps on its host, for each session, whatever lets it find
the session again after a crash: what it hands back from ``recover`` is where the truth lives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True)
class Order:
    """What is to be started. ``record`` is kept with the session and handed back by ``recover``."""

    session: str
    script: str
    env: Mapping[str, str]
    sessions: int
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Started:
    """It runs since ``started`` (Unix seconds) and may be reached on ``port`` of the host."""

    port: int | None
    started: float


@dataclass(frozen=True)
class Exit:
    """How it ended. ``exit_code`` None: nobody can know it, and ``reason`` says why. ``ended``: Unix seconds."""

    exit_code: int | None
    reason: str | None
    ended: float


class Phase(StrEnum):
    """What a runtime found a session to be."""

    RUNNING = "running"
    ENDED = "ended"
    REMOVING = "removing"  # a stop was under way
    REMOVED = "removed"  # stopped and cleared away; only the record is left, until ``forget``


@dataclass(frozen=True)
class Found:
    """A session that this host still knows. ``started`` and ``exit`` are valid as far as it came.

    ``removal`` is the note that was handed to ``stop``, where there was one.
    """

    session: str
    phase: Phase
    record: Mapping[str, Any]
    started: Started | None
    exit: Exit | None
    removal: Mapping[str, Any] | None


class Runtime(Protocol):
    """All of these wait for what they do; none of them holds up the other greenlets meanwhile."""

    kind: str

    def open(self) -> None:
        """Get ready. Raises PyCloudError where that cannot be."""

    def close(self) -> None:
        """Let go; sessions go on."""

    def recover(self) -> list[Found]:
        """Every session that is still there, or is remembered."""

    def start(self, order: Order) -> Started:
        """Start a session. Raises StartFailed, and then nothing of it is left."""

    def note(self, session: str, note: Mapping[str, Any]) -> None:
        """Merge ``note`` into the session's record."""

    def wait(self, session: str) -> Exit:
        """How the session ended, once it has."""

    def stop(self, session: str, grace: float, note: Mapping[str, Any]) -> bool:
        """End it, giving it ``grace`` seconds, and delete what it left; True when it was there.

        Raises RemoveFailed where something stays that cannot be deleted; it may then be called again.
        ``note`` is kept before anything is done, and found again by ``recover`` until ``forget``.
        """

    def forget(self, session: str) -> None:
        """Delete all that is left of a session that has ended or was stopped, its record included."""

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        """The newest ``count`` bytes of its output at most, and the offset of the first of them."""
