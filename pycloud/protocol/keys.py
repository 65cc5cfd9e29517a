"""Every Redis channel and key that PyCloud uses, in one place (docs/protocol.md, "Channels" and "In Redis").

Pure: strings in, strings out. Add a channel or key here and to that page, never write one out elsewhere.
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
    """The channels and keys of one namespace. All keys share one hash slot, so that scripts work on a Redis cluster."""

    namespace: str = DEFAULT_NAMESPACE

    def request_channel(self, op: str) -> str:
        """The channel on which requesters publish ``op``; every node subscribes to it."""
        return f"{self.namespace}.{op}"

    def response_channel(self, op: str, request_id: str) -> str:
        """The channel on which the answering node publishes the response to request ``request_id``."""
        return f"{self.namespace}.{op}.{request_id}"

    @cached_property
    def heartbeat_channel(self) -> str:
        """The channel on which every node publishes its heartbeat with its load."""
        return f"{self.namespace}.rank"

    @cached_property
    def events_channel(self) -> str:
        """The channel on which every node publishes events."""
        return f"{self.namespace}.events"

    def progress_channel(self, request_id: str) -> str:
        """The channel on which the node that carries out a create reports progress while that takes long."""
        return f"{self.namespace}.progress.{request_id}"

    def node_channel(self, node: str) -> str:
        """The direct channel of one node: any request, with its ``op``."""
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
        """Sorted set: op and id of requests claimed and not yet answered, by the ms at which their lease ends."""
        return self.key("claims")

    def session_key(self, session: str) -> str:
        """Hash: the record of a session."""
        return self.key("session", session)

    @cached_property
    def sessions_key(self) -> str:
        """Sorted set: ids of all sessions on record, by the Unix second of their creation."""
        return self.key("sessions")

    def node_sessions_key(self, node: str) -> str:
        """Set: ids of the sessions of one node."""
        return self.key("sessions", node)

    def session_keys(self, session: str, node: str) -> list[str]:
        """All keys with data of a session of ``node``: its record, and the two indexes."""
        return [self.session_key(session), self.sessions_key, self.node_sessions_key(node)]

    def name_key(self, name: str) -> str:
        """Hash: the session that has a name, or had it last, and the state of the name."""
        return self.key("name", name)

    def pending_removals_key(self, node: str) -> str:
        """Set: removes, as JSON, that were deferred because the session's node was offline."""
        return self.key("wishes", node)

    def node_key(self, node: str) -> str:
        """String: the node's last heartbeat, as published; it expires without renewal."""
        return self.key("cloud", node)

    @cached_property
    def nodes_key(self) -> str:
        """Sorted set: ids of all known nodes, by the Unix second of their last heartbeat."""
        return self.key("clouds")

    @cached_property
    def events_key(self) -> str:
        """Stream: the newest events; the one field ``event`` holds the JSON."""
        return self.key("events")


def owner_of(session: str) -> str | None:
    """The node that owns a session, taken from the session's id; None where that is not a session id."""
    if len(session) != SESSION_ID_LENGTH or not _HEX.issuperset(session):
        return None
    return session[-NODE_ID_LENGTH:]
