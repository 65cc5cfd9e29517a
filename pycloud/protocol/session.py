"""The model of a session: its states, the allowed transitions, and its record.

Pure: no I/O, no clock (times are arguments). Every change of state goes through ``Session.transition``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pycloud.protocol.keys import NODE_ID_LENGTH, SESSION_ID_LENGTH


class State(StrEnum):
    """The state of a session, in the words of the wire."""

    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"  # it ran and ended; exit_code is set
    FAILED = "failed"  # it never ran; reason has the cause
    REMOVED = "removed"
    LOST = "lost"  # its node has been offline for long; it may come back


TRANSITIONS: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.RUNNING, State.FAILED, State.REMOVED, State.LOST}),
    State.RUNNING: frozenset({State.EXITED, State.REMOVED, State.LOST}),
    State.EXITED: frozenset({State.REMOVED, State.LOST}),
    State.FAILED: frozenset({State.REMOVED, State.LOST}),
    State.LOST: frozenset({State.RUNNING, State.EXITED, State.FAILED, State.REMOVED}),
    State.REMOVED: frozenset(),
}
LIVE = frozenset({State.STARTING, State.RUNNING})
#: Final states (a lost session may come back).
ENDED = frozenset(State) - LIVE - {State.LOST}


class IllegalTransition(ValueError):
    """A state change that TRANSITIONS does not allow: a bug in the caller."""


@dataclass(slots=True)
class Session:
    """One script or container: running, or ended and retained.

    ``id`` is 10 random hex digits followed by its node's 10. ``request`` and ``digest`` are those of the create that
    made it, ``token`` the claim under which that is answered, ``answered`` whether it was. Times are Unix seconds.
    ``ports``: host ports by container port, where it has any. ``exit_code`` is valid in EXITED (128+n for signal n;
    None where it can no longer be determined, and then ``reason`` has the cause); ``reason`` also in FAILED. ``name``
    is the one that it has, or had until its end; ``labels`` are for finding it.
    """

    id: str
    request: str
    digest: str
    token: str
    host: str
    created: float
    runtime: str = "script"
    state: State = State.STARTING
    port: int | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str | None = None
    answered: bool = False
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def node(self) -> str:
        """The id of the node that owns it."""
        return self.id[-NODE_ID_LENGTH:]

    @property
    def alive(self) -> bool:
        """True while it starts or runs: the ``status`` of the wire."""
        return self.state in LIVE

    def transition(self, to: State) -> None:
        """Change the state. Raises IllegalTransition where TRANSITIONS does not allow it."""
        if to not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"session {self.id} cannot change from {self.state} to {to}")
        self.state = to

    def mark_running(self, port: int | None, started: float, ports: Mapping[str, int] | None = None) -> None:
        """Record that it runs. ``started``: Unix seconds."""
        self.transition(State.RUNNING)
        self.port, self.started, self.ports = port, started, ports or {}

    def mark_exited(self, exit_code: int | None, reason: str | None, ended: float) -> None:
        """Record that its first process ended. ``ended``: Unix seconds."""
        self.transition(State.EXITED)
        self.exit_code, self.reason, self.ended = exit_code, reason, ended


def new_id() -> str:
    """A random id of 10 hex digits: a node's, or the first half of a session's."""
    return secrets.token_hex(NODE_ID_LENGTH // 2)


def new_session_id(node: str, make: Callable[[], str] = new_id) -> str:
    """A new session id for ``node``: 20 hex digits, of which the last 10 are the owner's id."""
    session = make() + node
    if len(session) != SESSION_ID_LENGTH:
        raise ValueError(f"a node id has {NODE_ID_LENGTH} hex digits; this one is {node!r}")
    return session
