"""What this cloud knows of all clouds, itself included, from the ranks that it hears. No I/O; times are handed in.

Everything is judged by when it was *received*, on our own monotonic clock: clocks of hosts may be hours apart.
"""

from __future__ import annotations

import msgspec

from pycloud.cluster import placement
from pycloud.cluster.placement import Peer
from pycloud.errors import RequestError
from pycloud.protocol.messages import HEARTBEATS_MISSED, CreateRequest, Heartbeat

#: For so many heartbeats after it was sent, hearing our own rank proves that nobody speaks for us.
HEARTBEATS_CONFIRMED = 2
#: Seconds within which clouds connect to a Redis that is back.
RECONNECT_GRACE = 3.0


class Membership:
    """The clouds by id. ``own`` and ``instance`` say which of them we are; ``heartbeat`` is our interval (s)."""

    def __init__(self, own_id: str, instance: str, interval: float) -> None:
        self.own_id, self._instance, self._interval = own_id, instance, interval
        self.peers: dict[str, Peer] = {}
        self._last_confirming_heartbeat = self._last_own_heartbeat = self._subscribing_since = float("-inf")
        self._confirmed_since: float | None = None
        #: When we last heard ourselves again after we had not.
        self._regained_at = float("-inf")
        self._duplicate_since: float | None = None
        self._duplicate_seen_at = float("-inf")

    def on_heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        """A rank came in. ``rank.sent`` of our own tells how old it is: after a freeze, old ones still come in."""
        if heartbeat.id == self.own_id and heartbeat.instance != self._instance:
            self._on_duplicate(now)
            return
        if heartbeat.id == self.own_id:
            self._on_own_heartbeat(heartbeat, now)
            heartbeat = msgspec.structs.replace(heartbeat, deaf=False)  # we hear it
        self.peers[heartbeat.id] = placement.update_peer(self.peers.get(heartbeat.id), heartbeat, now)

    def prune(self, max_age: float, now: float) -> None:
        """Forget the clouds that were not heard for ``silent`` seconds: each costs memory, and time per create."""
        self.peers = {node: peer for node, peer in self.peers.items() if now - peer.last_seen < max_age}

    def confirmed(self, now: float) -> bool:
        """Whether we have heard ourselves so lately that nobody can have spoken for us."""
        return now <= self.confirmed_until()

    def confirmed_until(self) -> float:
        """Until when we are sure if we hear no more (monotonic seconds)."""
        return self._last_confirming_heartbeat + HEARTBEATS_CONFIRMED * self._interval

    def heartbeat_lost(self, now: float) -> bool:
        """Whether we have not heard ourselves for so long that the subscription must be dead."""
        return now - self._last_own_heartbeat > HEARTBEATS_MISSED * self._interval

    def on_subscribing(self, now: float) -> None:
        """We are about to subscribe, anew or for the first time."""
        self._subscribing_since = now

    def stream_started_at(self) -> float:
        """What comes in now was published after this (monotonic seconds), however long it was on its way."""
        return max(self._last_own_heartbeat, self._subscribing_since)

    def on_disconnected(self) -> None:
        """We hear nothing at present: whom we miss after that may be about to come back, as we are."""
        self._confirmed_since = None

    def confirmed_for(self, now: float) -> float:
        """For how many seconds we have been hearing ourselves without a gap."""
        if self._confirmed_since is None or not self.confirmed(now):
            return 0.0
        return now - self._confirmed_since

    def is_alive(self, node: str, now: float) -> bool:
        """Whether a cloud is heard."""
        peer = self.peers.get(node)
        return peer is not None and placement.is_alive(peer, now)

    def is_lost(self, node: str, lost_after: float, now: float) -> bool:
        """Whether a cloud has been away for ``after`` seconds, all of which we were listening."""
        peer = self.peers.get(node)
        away = peer is None or now - peer.last_seen >= lost_after
        return away and not self.is_alive(node, now) and self.confirmed_for(now) >= lost_after

    def assigned_count(self) -> int:
        """How many creates we have seen that we were expected to take: for our next rank."""
        own = self.peers.get(self.own_id)
        return 0 if own is None else own.assigned

    def position(self, request: CreateRequest, now: float, *, count: bool) -> tuple[int | None, RequestError | None]:
        """Our place among those who care for a create (None: others do), and what to answer if nobody can take it.

        ``count``: it is a new one, which its taker will be loaded with.
        """
        order = placement.candidates(self._peers_with_self(now), request, now)
        if order:
            if count:
                placement.assign(self.peers[order[0]])
            return self._own_position(order), None
        return self.responder_position(now), placement.rejection_for(self.peers, request, now)

    def self_matches(self, request: CreateRequest) -> bool:
        """Whether we ourselves are what a create asks for, be there room or not."""
        own = self.peers.get(self.own_id)
        return own is not None and placement.matches(own, request)

    def next_candidate(self, request: CreateRequest, now: float) -> str | None:
        """The cloud that is to take a create where we cannot, which it will be loaded with; None: there is none."""
        order = placement.candidates(self._peers_with_self(now), request, now)
        other = next((node for node in order if node != self.own_id), None)
        if other is not None:
            placement.assign(self.peers[other])
        return other

    def in_grace_period(self, node: str, now: float) -> bool:
        """Whether a cloud that is not heard may yet be there: we have not been listening for long enough to say.

        We, or Redis, may just have started, or our subscription may have been renewed a moment ago.
        """
        peer = self.peers.get(node)
        if peer is None:
            return self.confirmed_for(now) < max(HEARTBEATS_MISSED * self._interval, RECONNECT_GRACE)
        timeout = HEARTBEATS_MISSED * peer.last_heartbeat.heartbeat
        if now - peer.last_seen <= timeout:
            # It is away by its own words: because it stops, or because it did not hear itself, as we did not. What
            # Redis kept from both of us for a moment is no reason to speak for it.
            return peer.last_heartbeat.deaf and now - self._regained_at < timeout
        return self.confirmed_for(now) < timeout

    def too_early_to_reject(self, request: CreateRequest, now: float) -> bool:
        """Whether a cloud that a create asks for, and that is not heard, may yet be there."""
        missed = (node for node, peer in self.peers.items() if node != self.own_id and placement.matches(peer, request))
        return any(self.in_grace_period(node, now) for node in missed)

    def responder_position(self, now: float) -> int | None:
        """Our place among those who answer for a cloud that is away; None: others do.

        Where no cloud was ever heard, it is ours: who is not sure of it looks twice before it acts.
        """
        order = placement.responders(self._peers_with_self(now), now)
        return self._own_position(order) if order else 0

    def duplicate_detected(self, now: float, timeout: float) -> bool:
        """Whether another daemon uses our id (a copied data directory), and was heard within ``quiet`` seconds.

        A single burst of old ranks, of the daemon that we follow, is none.
        """
        if self._duplicate_since is None or now - self._duplicate_seen_at > timeout:
            return False
        return self._duplicate_seen_at - self._duplicate_since >= HEARTBEATS_MISSED * self._interval

    def _peers_with_self(self, now: float) -> dict[str, Peer]:
        """All clouds; we ourselves live, whether we hear ourselves or not (that is what ``sure`` is for)."""
        if self.own_id in self.peers:
            self.peers[self.own_id].last_seen = now
        return self.peers

    def _on_own_heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        if not self.confirmed(now):
            self._confirmed_since = None
            self._regained_at = now if self._last_own_heartbeat > float("-inf") else self._regained_at
        self._last_own_heartbeat = max(self._last_own_heartbeat, heartbeat.sent)
        if not heartbeat.deaf:  # after one that says we are deaf, the others go on speaking for us until the next
            self._last_confirming_heartbeat = max(self._last_confirming_heartbeat, heartbeat.sent)
        if self._confirmed_since is None and self.confirmed(now):
            self._confirmed_since = now

    def _on_duplicate(self, now: float) -> None:
        if self._duplicate_since is None or now - self._duplicate_seen_at > 2 * HEARTBEATS_MISSED * self._interval:
            self._duplicate_since = now
        self._duplicate_seen_at = now

    def _own_position(self, order: list[str]) -> int | None:
        return order.index(self.own_id) if self.own_id in order else None
