"""The contract of a runtime: what starts, watches and ends sessions of one kind. One kind is one file here.

A runtime decides nothing and knows nothing of Redis. It keeps on its host, for each session, whatever lets it find
the session again after a crash: what it hands back from ``recover`` is where the truth lives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any, Protocol


@dataclass(frozen=True)
class PullProgress:
    """How far the image of a session that is being started has been pulled; ``done``: from 0 to 1, None: unknown."""

    image: str
    text: str
    done: float | None


@dataclass(frozen=True)
class SessionSpec:
    """What is to be started. ``record`` is kept with the session and handed back by ``recover``.

    ``kind`` is that of the runtime. ``progress`` is to be called about once a second while an image is pulled; what it
    raises ends the start.
    """

    session: str
    script: str
    env: Mapping[str, str]
    session_count: int
    record: Mapping[str, Any]
    runtime: str = "script"
    on_progress: Callable[[PullProgress], None] = lambda _progress: None


@dataclass(frozen=True)
class Started:
    """It runs since ``started`` (Unix seconds) and may be reached on ``port`` of the host.

    ``ports``: where there may be several, the host's by the container's, as in ``{"80/tcp": 32768}``; ``port`` is the
    first of them.
    """

    port: int | None
    started: float
    ports: Mapping[str, int] = field(default_factory=dict)


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
class RecoveredSession:
    """A session that this host still knows. ``started`` and ``exit`` are valid as far as it came.

    ``removal`` is the note that was handed to ``stop``, where there was one.
    """

    session: str
    phase: Phase
    record: Mapping[str, Any]
    started: Started | None
    exit: Exit | None
    removal: Mapping[str, Any] | None


@dataclass(frozen=True)
class Usage:
    """What a session uses at the moment ``at``, in seconds on any clock that only goes forward.

    ``cpu``: seconds of CPU time since its start; ``memory``: bytes.
    """

    at: float
    cpu: float
    memory: int
    processes: int


@dataclass(frozen=True)
class ReadFrom:
    """Where the reading of output begins: one of these, or ``lines`` of what was written ``since``; see FollowRequest.

    ``place`` goes with ``offset``.
    """

    offset: int | None = None
    tail: int | None = None
    lines: int | None = None
    since: float | None = None
    position: str | None = None


@dataclass(frozen=True)
class OutputChunk:
    """Output from byte ``offset`` on. What lies between it and the last piece is not to be had any more.

    ``place``: what finds the place behind it again, beside the offset. ``lost``: something is missing before it, and
    nobody knows how much.
    """

    offset: int
    data: bytes
    position: str | None = None
    lost: bool = False


class OutputReader(Protocol):
    """The output of one session in order. ``begin``: the offset of the first byte that is asked for.

    ``place``: what finds that one again, where the offset does not.

    ``patience``: seconds after which it is worth a look whether there is more even if nothing was said.
    """

    start_offset: int
    start_position: str | None
    poll_interval: float

    def read(self, max_bytes: int) -> OutputChunk | None:
        """The next output, at most ``most`` bytes; None: there is none now, and there will be a word when there is.

        Never waits. Raises FileNotFoundError where there is none any more.
        """

    def is_complete(self, session_ended: bool) -> bool:
        """Where ``read`` has just returned None: whether that was all. ``over``: the session had ended before that."""

    def close(self) -> None:
        """Read no more."""


class Runtime(Protocol):
    """All of these wait for what they do; none of them holds up the other greenlets meanwhile."""

    kind: str
    #: Called with sessions that were found only after ``recover``: what they live in could not be asked before.
    on_recovered: Callable[[list[RecoveredSession]], None]

    def unavailable_reason(self) -> str | None:
        """Why no session can be started at present, in words for a requester; None: they can. Never waits."""

    def host_name(self) -> str | None:
        """What the engine that runs the sessions calls its host; None where there is none, or it was not asked yet."""

    def connect(self) -> None:
        """Get ready. Raises PyCloudError where that cannot be."""

    def disconnect(self) -> None:
        """Let go; sessions go on."""

    def recover(self) -> list[RecoveredSession]:
        """Every session that is still there, or is remembered. Changes nothing that another daemon might see."""

    def start_watching(self) -> None:
        """No other daemon uses this cloud's id: from now on watch what was recovered, and clear away what has to go."""

    def start(self, spec: SessionSpec) -> Started:
        """Start a session. Raises RequestError, and then nothing of it is left, or will be."""

    def annotate(self, session: str, annotations: Mapping[str, Any]) -> None:
        """Merge ``note`` into the session's record."""

    def wait(self, session: str) -> Exit:
        """How the session ended, once it has."""

    def stop(self, session: str, grace: float, removal: Mapping[str, Any], max_grace: float = inf) -> bool:
        """End it, giving it ``grace`` seconds, and delete what it left; True when it was there.

        A grace of the session's own counts instead, up to ``at_most`` seconds.
        Raises RemoveFailed where something stays that cannot be deleted, and EngineUnavailable; it may then be called
        again. ``note`` is kept before anything is done, and found again by ``recover`` until ``forget``; or until this
        raises and the session may go on, where the note is not empty: whoever asked hears that it was not done.
        Not to be called while the session is being started.
        """

    def forget(self, session: str) -> None:
        """Delete all that is left of a session that has ended or was stopped, its record included."""

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        """The newest ``count`` bytes of its output at most, and the offset of the first of them."""

    def usage(self, session: str) -> Usage | None:
        """What it uses just now; None: it does not run. Raises RequestError where that cannot be told at present."""

    def details(self, session: str) -> Mapping[str, Any]:
        """What else this host knows of it, for people: JSON values, by names of docs/protocol.md.

        Raises RequestError where that cannot be told at present.
        """

    def follow(self, session: str, read_from: ReadFrom, once: bool, on_output: Callable[[], None]) -> OutputReader:
        """Its output from ``start`` on as it grows, or (``once``) as far as it has come; ``more``: there is some.

        Raises FileNotFoundError where there is none, BadRequest where it cannot begin there, and EngineUnavailable.
        """
