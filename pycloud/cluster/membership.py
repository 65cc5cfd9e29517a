"""This node's view of all nodes, itself included, from the heartbeats it receives. No I/O; times are arguments.

Freshness is judged by when a heartbeat was *received*, on this node's monotonic clock: clocks of hosts may be hours
apart. All times here are monotonic seconds.
"""

from __future__ import annotations

import msgspec

from pycloud.cluster import placement
from pycloud.cluster.placement import Peer
from pycloud.errors import RequestError
from pycloud.protocol.decoding import RejectedRequest
from pycloud.protocol.keys import owner_of
from pycloud.protocol.messages import HEARTBEATS_MISSED, Heartbeat
from pycloud.protocol.received import Source
from pycloud.protocol.requests import CreateRequest, Request

#: Heartbeat intervals, counted from its sending, for which this node's own heartbeat, once it is received, proves that
#: no other node answers for this one.
HEARTBEATS_CONFIRMED = 2
#: Seconds within which nodes connect to a Redis that is available again.
RECONNECT_GRACE = 3.0


class Assessment(msgspec.Struct, frozen=True):
    """What a node knows about a request and the nodes at one moment; times are monotonic seconds.

    ``confirmed_until``: until then no other node can have answered for this one. ``published_after``: the request was
    published after this, however long it was in transit. ``position``: this node's position among those that handle the
    request; None: others do. ``too_early``: a node that is needed may only just be missing. ``error``: why no node can
    take the create. ``matches``: this node is what the create requires (only computed where it acts at once).
    ``taker``: the node that comes first for the create.
    """

    confirmed: bool
    confirmed_until: float
    published_after: float
    position: int | None
    too_early: bool = False
    error: RequestError | None = None
    matches: bool = True
    taker: str | None = None


class Membership:
    """All nodes by id. ``own_id`` and ``instance`` identify this one, ``interval`` is its heartbeat interval (s)."""

    def __init__(self, own_id: str, instance: str, interval: float) -> None:
        self.own_id, self._instance, self._interval = own_id, instance, interval
        self.peers: dict[str, Peer] = {}
        self._last_confirming_heartbeat = self._last_own_heartbeat = self._subscribing_since = float("-inf")
        self._confirmed_since: float | None = None
        #: When this node last received its own heartbeats again after a gap.
        self._regained_at = float("-inf")
        self._duplicate_since: float | None = None
        self._duplicate_seen_at = float("-inf")

    def on_heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        """Take in a received heartbeat. ``sent`` of this node's own gives its age: after a freeze, old ones arrive."""
        if heartbeat.id == self.own_id and heartbeat.instance != self._instance:
            self._on_duplicate(now)
            return
        if heartbeat.id == self.own_id:
            self._on_own_heartbeat(heartbeat, now)
            heartbeat = msgspec.structs.replace(heartbeat, deaf=False)  # outdated: it was received
        self.peers[heartbeat.id] = placement.update_peer(self.peers.get(heartbeat.id), heartbeat, now)

    def prune(self, max_age: float, now: float) -> None:
        """Forget nodes without a heartbeat for ``max_age`` seconds: each costs memory, and time per create."""
        self.peers = {node: peer for node, peer in self.peers.items() if now - peer.last_seen < max_age}

    def confirmed(self, now: float) -> bool:
        """Whether this node received its own heartbeat recently enough that no other can have answered for it."""
        return now <= self.confirmed_until()

    def confirmed_until(self) -> float:
        """Until when this node stays confirmed if it receives no further heartbeat of its own."""
        return self._last_confirming_heartbeat + HEARTBEATS_CONFIRMED * self._interval

    def heartbeat_lost(self, now: float) -> bool:
        """Whether the own heartbeat has been missing for so long that the subscription must be dead."""
        return now - self._last_own_heartbeat > HEARTBEATS_MISSED * self._interval

    def on_subscribing(self, now: float) -> None:
        """This node is about to subscribe, for the first time or again."""
        self._subscribing_since = now

    def stream_started_at(self) -> float:
        """The time after which all that is received from now on was published, however long it was delayed."""
        return max(self._last_own_heartbeat, self._subscribing_since)

    def on_disconnected(self) -> None:
        """The subscription is lost: nodes missing after that may be about to come back, as this one is."""
        self._confirmed_since = None

    def confirmed_for(self, now: float) -> float:
        """Seconds for which this node has received its own heartbeats without a gap; 0 while not confirmed."""
        if self._confirmed_since is None or not self.confirmed(now):
            return 0.0
        return now - self._confirmed_since

    def is_alive(self, node: str, now: float) -> bool:
        """Whether a node is known and alive (see ``placement.is_alive``)."""
        peer = self.peers.get(node)
        return peer is not None and placement.is_alive(peer, now)

    def is_lost(self, node: str, lost_after: float, now: float) -> bool:
        """Whether a node has been offline for ``lost_after`` seconds, all of which this node was receiving."""
        peer = self.peers.get(node)
        away = peer is None or now - peer.last_seen >= lost_after
        return away and not self.is_alive(node, now) and self.confirmed_for(now) >= lost_after

    def assigned_count(self) -> int:
        """Number of creates received that this node was expected to take: for its next heartbeat."""
        own = self.peers.get(self.own_id)
        return 0 if own is None else own.assigned

    def assess(self, request: Request | RejectedRequest, source: Source, now: float) -> Assessment:
        """What this node needs to know of the nodes to decide about a request. Changes nothing."""
        confirmed_until = self.confirmed_until()
        confirmed, published_after = now <= confirmed_until, self.stream_started_at()
        if isinstance(request, CreateRequest):
            return Assessment(confirmed, confirmed_until, published_after, *self._assess_create(request, source, now))
        # Any node may answer a rejected request, also one about the session of another.
        owner = None if isinstance(request, RejectedRequest) else owner_of(request.session_id)
        position, too_early = self._assess_owner(owner, now)
        return Assessment(confirmed, confirmed_until, published_after, position, too_early)

    def _assess_owner(self, owner: str | None, now: float) -> tuple[int | None, bool]:
        """``position`` and ``too_early`` for a request about a session of ``owner``; None: no node can own it."""
        if owner == self.own_id:
            return 0, False
        if owner is None:
            return self.responder_position(now), False
        if self.is_alive(owner, now):
            return None, False
        return self.responder_position(now), self.in_grace_period(owner, now)

    def _assess_create(
        self, request: CreateRequest, source: Source, now: float
    ) -> tuple[int | None, bool, RequestError | None, bool, str | None]:
        """``position``, ``too_early``, ``error``, ``matches`` and ``taker`` of an assessment."""
        matches = not source.act_now or self.self_matches(request)
        if source.direct:
            return 0, False, None, matches, None
        order = placement.candidates(self._peers_with_self(now), request, now)
        if not order:
            error, too_early = placement.rejection_for(self.peers, request, now), self.too_early_to_reject(request, now)
            return self.responder_position(now), too_early, error, matches, None
        return self._own_position(order), False, None, matches, order[0]

    def count_create(self, taker: str) -> None:
        """Count a create for the node that is expected to take it."""
        placement.assign(self.peers[taker])

    def self_matches(self, request: CreateRequest) -> bool:
        """Whether this node matches a create (id and labels), with or without free capacity."""
        own = self.peers.get(self.own_id)
        return own is not None and placement.matches(own, request)

    def next_candidate(self, request: CreateRequest, now: float) -> str | None:
        """The id of the node that is to take a create where this one cannot; None: there is none.

        The create adds to the load of that node.
        """
        order = placement.candidates(self._peers_with_self(now), request, now)
        other = next((node for node in order if node != self.own_id), None)
        if other is not None:
            placement.assign(self.peers[other])
        return other

    def in_grace_period(self, node: str, now: float) -> bool:
        """Whether an offline node may yet be running: this node has not been receiving for long enough to decide.

        This node or Redis may just have started, or the subscription may have been renewed a moment ago.
        """
        peer = self.peers.get(node)
        if peer is None:
            return self.confirmed_for(now) < max(HEARTBEATS_MISSED * self._interval, RECONNECT_GRACE)
        timeout = HEARTBEATS_MISSED * peer.last_heartbeat.heartbeat
        if now - peer.last_seen <= timeout:
            # Its last heartbeat has ``deaf`` set: it stops, or did not receive its own heartbeats, as this node did
            # not. A short outage of Redis for both is no reason to answer for it.
            return peer.last_heartbeat.deaf and now - self._regained_at < timeout
        return self.confirmed_for(now) < timeout

    def too_early_to_reject(self, request: CreateRequest, now: float) -> bool:
        """Whether another node that matches a create is offline and may yet be running."""
        missed = (node for node, peer in self.peers.items() if node != self.own_id and placement.matches(peer, request))
        return any(self.in_grace_period(node, now) for node in missed)

    def responder_position(self, now: float) -> int | None:
        """This node's position among those that answer for an offline node; None: it is not one of them.

        0 where no known node is alive (no heartbeat was received yet): an unconfirmed node checks twice before it acts.
        """
        order = placement.responders(self._peers_with_self(now), now)
        return self._own_position(order) if order else 0

    def duplicate_detected(self, now: float, timeout: float) -> bool:
        """Whether another daemon uses this node's id (a copied data directory) and was active within ``timeout`` (s).

        A single burst of old heartbeats, of this node's previous daemon, does not count.
        """
        if self._duplicate_since is None or now - self._duplicate_seen_at > timeout:
            return False
        return self._duplicate_seen_at - self._duplicate_since >= HEARTBEATS_MISSED * self._interval

    def _peers_with_self(self, now: float) -> dict[str, Peer]:
        """All nodes. This one counts as alive even if its heartbeats are not received: ``confirmed`` covers that."""
        if self.own_id in self.peers:
            self.peers[self.own_id].last_seen = now
        return self.peers

    def _on_own_heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        if not self.confirmed(now):
            self._confirmed_since = None
            self._regained_at = now if self._last_own_heartbeat > float("-inf") else self._regained_at
        self._last_own_heartbeat = max(self._last_own_heartbeat, heartbeat.sent)
        if not heartbeat.deaf:  # after one with ``deaf``, the other nodes answer for this one until the next
            self._last_confirming_heartbeat = max(self._last_confirming_heartbeat, heartbeat.sent)
        if self._confirmed_since is None and self.confirmed(now):
            self._confirmed_since = now

    def _on_duplicate(self, now: float) -> None:
        if self._duplicate_since is None or now - self._duplicate_seen_at > 2 * HEARTBEATS_MISSED * self._interval:
            self._duplicate_since = now
        self._duplicate_seen_at = now

    def _own_position(self, order: list[str]) -> int | None:
        return order.index(self.own_id) if self.own_id in order else None
