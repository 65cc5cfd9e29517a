"""Every Redis channel and key that PyCloud uses, in one place (docs/protocol.md, "Channels" and "In Redis").

Pure: strings in, strings out. Add a channel or key here and to that page, never spell one elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

DEFAULT_NAMESPACE = "year4000.pycloud"

NODE_ID_LENGTH = 10
SESSION_ID_LENGTH = 20
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Keys:
    """The channels and keys below one namespace. All keys share one hash slot, so that scripts run on a cluster."""

    namespace: str = DEFAULT_NAMESPACE

    def request_channel(self, op: str) -> str:
        """Where requesters publish ``op``: every cloud listens."""
        return f"{self.namespace}.{op}"

    def response_channel(self, op: str, request_id: str) -> str:
        """Where the one cloud that answers publishes the response to request ``request_id``."""
        return f"{self.namespace}.{op}.{request_id}"

    @cached_property
    def heartbeat_channel(self) -> str:
        """Where every cloud says, each heartbeat, how loaded it is."""
        return f"{self.namespace}.rank"

    @cached_property
    def events_channel(self) -> str:
        """Where every cloud says what happened."""
        return f"{self.namespace}.events"

    def progress_channel(self, request_id: str) -> str:
        """Where the cloud that carries out a create says how far it has come, while that takes long."""
        return f"{self.namespace}.progress.{request_id}"

    def node_channel(self, node: str) -> str:
        """The direct channel of one cloud: any request, with its ``op``."""
        return f"{self.namespace}.cloud.{node}"

    def key(self, *parts: str) -> str:
        """A key of this namespace, e.g. ``{year4000.pycloud}:session:S``."""
        return self._prefix + ":".join(parts)

    @cached_property
    def _prefix(self) -> str:
        return "{" + self.namespace + "}:"

    def request_key(self, op: str, request_id: str) -> str:
        """Hash: digest, claim and, once answered, the response of one request."""
        return self.key("request", op, request_id)

    @cached_property
    def claims_key(self) -> str:
        """Sorted set: ``OP:ID`` of requests claimed and not yet answered, by the ms at which their lease runs out."""
        return self.key("claims")

    def session_key(self, session: str) -> str:
        """Hash: what anyone may want to know of a session."""
        return self.key("session", session)

    @cached_property
    def sessions_key(self) -> str:
        """Sorted set: ids of all sessions known, by the Unix second of their creation."""
        return self.key("sessions")

    def node_sessions_key(self, node: str) -> str:
        """Set: ids of the sessions of one cloud."""
        return self.key("sessions", node)

    def session_keys(self, session: str, node: str) -> list[str]:
        """All that knows of a session of ``cloud``: its record, and the two indexes."""
        return [self.session_key(session), self.sessions_key, self.node_sessions_key(node)]

    def name_key(self, name: str) -> str:
        """Hash: the session that has a name, or had it last, and whether another may have it."""
        return self.key("name", name)

    def pending_removals_key(self, node: str) -> str:
        """Set: removes, as JSON, that were asked for while the cloud that is to carry them out was away."""
        return self.key("wishes", node)

    def node_key(self, node: str) -> str:
        """String: the cloud's last rank, as published; expires with its heartbeat."""
        return self.key("cloud", node)

    @cached_property
    def nodes_key(self) -> str:
        """Sorted set: ids of all clouds known, by the Unix second of their last heartbeat."""
        return self.key("clouds")

    @cached_property
    def events_key(self) -> str:
        """Stream: the newest events; one field ``event`` holding the JSON."""
        return self.key("events")


def owner_of(session: str) -> str | None:
    """The cloud that owns a session, read off the session's id; None where that is no session id at all."""
    if len(session) != SESSION_ID_LENGTH or not _HEX.issuperset(session):
        return None
    return session[-NODE_ID_LENGTH:]
