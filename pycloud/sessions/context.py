"""What every part of this package needs of its node, handed on as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pycloud.config.identity import Identity
from pycloud.runtimes.composite import CompositeRuntime
from pycloud.sessions.events import EventPublisher
from pycloud.store.request_claimer import RequestClaimer
from pycloud.store.requests import RequestStore
from pycloud.store.sessions import SessionStore


@dataclass(frozen=True)
class NodeContext:
    """The node's identity, what runs its sessions, and what it writes to Redis. ``now`` gives Unix seconds."""

    identity: Identity
    runtime: CompositeRuntime
    request_store: RequestStore
    session_store: SessionStore
    claimer: RequestClaimer
    event_publisher: EventPublisher
    now: Callable[[], float]
