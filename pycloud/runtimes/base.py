"""The contract of a runtime, which starts, watches and ends sessions of one kind. Each kind has a package here.

A runtime decides nothing and does not use Redis. For each session, it stores on its host the data needed to find the
session again after a crash: the result of ``recover`` is authoritative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any, ClassVar, Protocol

from pycloud.config import Config


@dataclass(frozen=True)
class PullProgress:
    """The progress of the image pull of a session being started; ``done``: from 0 to 1, None: unknown."""

    image: str
    text: str
    done: float | None


@dataclass(frozen=True)
class SessionSpec:
    """The session to start. ``record`` is stored with the session and returned by ``recover``.

    ``runtime`` is the kind of the runtime. ``on_progress`` is to be called about once a second while an image is
    pulled; an exception that it raises ends the start.
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
    """A session that started at ``started`` (Unix seconds) and is reachable on ``port`` of the host.

    ``ports``: where there may be several, the host's ports by the container's, as in ``{"80/tcp": 32768}``; ``port`` is
    the first of them.
    """

    port: int | None
    started: float
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Exit:
    """The end of a session, at ``ended`` (Unix seconds). ``exit_code`` None: unknown, and ``reason`` is why."""

    exit_code: int | None
    reason: str | None
    ended: float


class Phase(StrEnum):
    """The state in which a runtime found a session."""

    RUNNING = "running"
    ENDED = "ended"
    REMOVING = "removing"  # a stop was under way
    REMOVED = "removed"  # stopped and removed; only the record is left, until ``forget``


@dataclass(frozen=True)
class RecoveredSession:
    """A session that this host has a record of. ``started`` and ``exit`` are set if the session came that far.

    ``removal`` is the note that was passed to ``stop``, if any.
    """

    session: str
    phase: Phase
    record: Mapping[str, Any]
    started: Started | None
    exit: Exit | None
    removal: Mapping[str, Any] | None


@dataclass(frozen=True)
class Usage:
    """The resource usage of a session at the moment ``at``, in seconds on any clock that only moves forward.

    ``cpu``: seconds of CPU time since its start; ``memory``: bytes; ``processes``: their number.
    """

    at: float
    cpu: float
    memory: int
    processes: int


@dataclass(frozen=True)
class ReadFrom:
    """Where reading output begins: one of these, or ``lines`` of the output ``since``; see FollowRequest.

    ``position`` is used together with ``offset``.
    """

    offset: int | None = None
    tail: int | None = None
    lines: int | None = None
    since: float | None = None
    position: str | None = None


@dataclass(frozen=True)
class OutputChunk:
    """Output from byte ``offset`` on. A gap between the previous chunk and ``offset`` is no longer available.

    ``position``: identifies the position after this chunk, in addition to the offset. ``lost``: an unknown amount of
    output is missing before this chunk.
    """

    offset: int
    data: bytes
    position: str | None = None
    lost: bool = False


class OutputReader(Protocol):
    """The output of one session, in order.

    ``start_offset``: the offset of the first requested byte. ``start_position``: identifies that byte where the offset
    does not. ``poll_interval``: seconds after which a read is worth a try even without a call of ``on_output``.
    """

    start_offset: int
    start_position: str | None
    poll_interval: float

    def read(self, max_bytes: int) -> OutputChunk | None:
        """Return the next output, at most ``max_bytes`` bytes; None where there is none now.

        In that case ``on_output`` (see ``follow``) is called when there is more.

        Never blocks. Raises FileNotFoundError where the output no longer exists.
        """

    def is_complete(self, session_ended: bool) -> bool:
        """Return, right after ``read`` returned None, whether that was all the output.

        ``session_ended``: the session had ended before that call of ``read``.
        """

    def close(self) -> None:
        """Stop reading."""


class Runtime(Protocol):
    """Runs sessions of one kind. All methods block until they are done, but never block other greenlets.

    Created as ``Runtime(config, node, nofile)``: the node's id, and the soft limit on descriptors that sessions get.
    Class methods may be called in a process without gevent's monkey patching.
    """

    #: Its name; for a plugin also that of its entry point, of its table of settings (``Config.table``), and of its
    #: directory ``plugins/NAME`` in the data directory.
    kind: ClassVar[str]
    #: Called with sessions that were found only after ``recover``, because the engine could not be reached before.
    on_recovered: Callable[[list[RecoveredSession]], None]

    @classmethod
    def check(cls, config: Config) -> None:
        """Raise ConfigError where its settings are invalid."""

    @classmethod
    def detect(cls, config: Config) -> str | None:
        """Return why no session can run on this host; None: it can. Quick: it makes no network request."""
        return None

    @classmethod
    def matches(cls, script: str) -> bool:
        """Return whether a create that names no runtime is for this one. Pure, and quick: called for each create.

        Only plugins are asked: ``protocol/container_spec`` has the rule for the built-in runtimes.
        """
        return False

    @classmethod
    def end_all(cls, config: Config) -> int | None:
        """End the sessions of the data directory, which no daemon uses; return how many, None: there were none ever.

        Raises PyCloudError where that is impossible.
        """
        return None

    def unavailable_reason(self) -> str | None:
        """Return, for a requester, why no session can be started at present; None: it can. Never blocks."""
        return None

    def host_name(self) -> str | None:
        """Return the host name that the engine reports; None where there is no engine, or none has answered yet."""
        return None

    def connect(self) -> None:
        """Connect to the keeper or the engine. Raises PyCloudError where that is impossible."""

    def disconnect(self) -> None:
        """Disconnect; sessions continue to run."""

    def recover(self) -> list[RecoveredSession]:
        """Return every session that exists or has a record. Changes nothing that another daemon could observe."""

    def start_watching(self) -> None:
        """Watch the recovered sessions from now on, and remove leftovers. No other daemon may use this node's id."""

    def start(self, spec: SessionSpec) -> Started:
        """Start a session. Raises RequestError, and then removes everything of it, now or later."""

    def annotate(self, session: str, annotations: Mapping[str, Any]) -> None:
        """Merge ``annotations`` into the session's record."""

    def wait(self, session: str) -> Exit:
        """Wait until the session has ended; return its exit."""

    def stop(self, session: str, grace: float, removal: Mapping[str, Any], max_grace: float = inf) -> bool:
        """End the session, giving it ``grace`` seconds, and delete all it left; return True if it existed.

        The session's own grace, where it has one, takes precedence over ``grace``, up to ``max_grace`` seconds.

        Raises RemoveFailed where something cannot be removed, and EngineUnavailable; it may then be called again.
        ``removal`` is recorded before anything else is done, and returned by ``recover`` until ``forget``. If this
        raises while the session may continue, a ``removal`` that is not empty is recorded no longer, because the
        requester gets the error as response. Must not be called while the session is being started.
        """

    def forget(self, session: str) -> None:
        """Delete everything that is left of a session that has ended or was stopped, including its record."""

    def tail(self, session: str, count: int) -> tuple[int, bytes]:
        """Return the offset of the newest output and the output, at most ``count`` bytes."""

    def usage(self, session: str) -> Usage | None:
        """Return the current usage; None: the session does not run. Raises RequestError where it is unavailable."""

    def details(self, session: str) -> Mapping[str, Any]:
        """Return further details for people: JSON values, by the names in docs/protocol.md.

        Raises RequestError where they are unavailable at present.
        """

    def follow(self, session: str, read_from: ReadFrom, once: bool, on_output: Callable[[], None]) -> OutputReader:
        """Return a reader of the output from ``read_from`` on as it grows, or (``once``) only of the output until now.

        ``on_output`` is called when there is output to read. Raises FileNotFoundError where there is no output,
        BadRequest where reading cannot begin there, and EngineUnavailable.
        """
