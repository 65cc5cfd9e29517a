"""What this cloud knows of all clouds, itself included, from the ranks that it hears. No I/O; times are handed in.

Everything is judged by when it was *received*, on our own monotonic clock: clocks of hosts may be hours apart.
"""

from __future__ import annotations

import msgspec

from pycloud.cluster import placement
from pycloud.cluster.placement import Peer
from pycloud.errors import RequestError
from pycloud.protocol.messages import HEARTBEATS_MISSED, CreateRequest, Rank

#: For so many heartbeats after it was sent, hearing our own rank proves that nobody speaks for us.
HEARTBEATS_SURE = 2
#: Seconds within which clouds connect to a Redis that is back.
RECONNECTING = 3.0


class View:
    """The clouds by id. ``own`` and ``instance`` say which of them we are; ``heartbeat`` is our interval (s)."""

    def __init__(self, own: str, instance: str, heartbeat: float) -> None:
        self.own, self._instance, self._heartbeat = own, instance, heartbeat
        self.peers: dict[str, Peer] = {}
        self._own_sent = self._own_heard = self._listening = float("-inf")
        self._sure_since: float | None = None
        #: When we last heard ourselves again after we had not.
        self._regained = float("-inf")
        self._double_since: float | None = None
        self._double_heard = float("-inf")

    def hear(self, rank: Rank, now: float) -> None:
        """A rank came in. ``rank.sent`` of our own tells how old it is: after a freeze, old ones still come in."""
        if rank.id == self.own and rank.instance != self._instance:
            self._hear_double(now)
            return
        if rank.id == self.own:
            self._hear_own(rank, now)
            rank = msgspec.structs.replace(rank, deaf=False)  # we hear it
        self.peers[rank.id] = placement.hear(self.peers.get(rank.id), rank, now)

    def prune(self, silent: float, now: float) -> None:
        """Forget the clouds that were not heard for ``silent`` seconds: each costs memory, and time per create."""
        self.peers = {cloud: peer for cloud, peer in self.peers.items() if now - peer.heard < silent}

    def sure(self, now: float) -> bool:
        """Whether we have heard ourselves so lately that nobody can have spoken for us."""
        return now <= self.sure_until()

    def sure_until(self) -> float:
        """Until when we are sure if we hear no more (monotonic seconds)."""
        return self._own_sent + HEARTBEATS_SURE * self._heartbeat

    def deaf(self, now: float) -> bool:
        """Whether we have not heard ourselves for so long that the subscription must be dead."""
        return now - self._own_heard > HEARTBEATS_MISSED * self._heartbeat

    def listens(self, now: float) -> None:
        """We are about to subscribe, anew or for the first time."""
        self._listening = now

    def news_since(self) -> float:
        """What comes in now was published after this (monotonic seconds), however long it was on its way."""
        return max(self._own_heard, self._listening)

    def interrupted(self) -> None:
        """We hear nothing at present: whom we miss after that may be about to come back, as we are."""
        self._sure_since = None

    def sure_for(self, now: float) -> float:
        """For how many seconds we have been hearing ourselves without a gap."""
        if self._sure_since is None or not self.sure(now):
            return 0.0
        return now - self._sure_since

    def lives(self, cloud: str, now: float) -> bool:
        """Whether a cloud is heard."""
        peer = self.peers.get(cloud)
        return peer is not None and placement.lives(peer, now)

    def lost(self, cloud: str, after: float, now: float) -> bool:
        """Whether a cloud has been away for ``after`` seconds, all of which we were listening."""
        peer = self.peers.get(cloud)
        away = peer is None or now - peer.heard >= after
        return away and not self.lives(cloud, now) and self.sure_for(now) >= after

    def counted(self) -> int:
        """How many creates we have seen that we were expected to take: for our next rank."""
        own = self.peers.get(self.own)
        return 0 if own is None else own.assigned

    def place(self, request: CreateRequest, now: float, *, count: bool) -> tuple[int | None, RequestError | None]:
        """Our place among those who care for a create (None: others do), and what to answer if nobody can take it.

        ``count``: it is a new one, which its taker will be loaded with.
        """
        order = placement.candidates(self._seen(now), request, now)
        if order:
            if count:
                placement.assign(self.peers[order[0]])
            return self._index(order), None
        return self.speaker(now), placement.why_nobody(self.peers, request, now)

    def fits(self, request: CreateRequest) -> bool:
        """Whether we ourselves are what a create asks for, be there room or not."""
        own = self.peers.get(self.own)
        return own is not None and placement.matches(own, request)

    def next_best(self, request: CreateRequest, now: float) -> str | None:
        """The cloud that is to take a create where we cannot, which it will be loaded with; None: there is none."""
        order = placement.candidates(self._seen(now), request, now)
        other = next((cloud for cloud in order if cloud != self.own), None)
        if other is not None:
            placement.assign(self.peers[other])
        return other

    def too_early_to_miss(self, cloud: str, now: float) -> bool:
        """Whether a cloud that is not heard may yet be there: we have not been listening for long enough to say.

        We, or Redis, may just have started, or our subscription may have been renewed a moment ago.
        """
        peer = self.peers.get(cloud)
        if peer is None:
            return self.sure_for(now) < max(HEARTBEATS_MISSED * self._heartbeat, RECONNECTING)
        patience = HEARTBEATS_MISSED * peer.rank.heartbeat
        if now - peer.heard <= patience:
            # It is away by its own words: because it stops, or because it did not hear itself, as we did not. What
            # Redis kept from both of us for a moment is no reason to speak for it.
            return peer.rank.deaf and now - self._regained < patience
        return self.sure_for(now) < patience

    def too_early_to_refuse(self, request: CreateRequest, now: float) -> bool:
        """Whether a cloud that a create asks for, and that is not heard, may yet be there."""
        missed = (cloud for cloud, peer in self.peers.items() if cloud != self.own and placement.matches(peer, request))
        return any(self.too_early_to_miss(cloud, now) for cloud in missed)

    def speaker(self, now: float) -> int | None:
        """Our place among those who answer for a cloud that is away; None: others do.

        Where no cloud was ever heard, it is ours: who is not sure of it looks twice before it acts.
        """
        order = placement.speakers(self._seen(now), now)
        return self._index(order) if order else 0

    def doubled(self, now: float, quiet: float) -> bool:
        """Whether another daemon uses our id (a copied data directory), and was heard within ``quiet`` seconds.

        A single burst of old ranks, of the daemon that we follow, is none.
        """
        if self._double_since is None or now - self._double_heard > quiet:
            return False
        return self._double_heard - self._double_since >= HEARTBEATS_MISSED * self._heartbeat

    def _seen(self, now: float) -> dict[str, Peer]:
        """All clouds; we ourselves live, whether we hear ourselves or not (that is what ``sure`` is for)."""
        if self.own in self.peers:
            self.peers[self.own].heard = now
        return self.peers

    def _hear_own(self, rank: Rank, now: float) -> None:
        if not self.sure(now):
            self._sure_since = None
            self._regained = now if self._own_heard > float("-inf") else self._regained
        self._own_heard = max(self._own_heard, rank.sent)
        if not rank.deaf:  # after one that says we are deaf, the others go on speaking for us until the next
            self._own_sent = max(self._own_sent, rank.sent)
        if self._sure_since is None and self.sure(now):
            self._sure_since = now

    def _hear_double(self, now: float) -> None:
        if self._double_since is None or now - self._double_heard > 2 * HEARTBEATS_MISSED * self._heartbeat:
            self._double_since = now
        self._double_heard = now

    def _index(self, order: list[str]) -> int | None:
        return order.index(self.own) if self.own in order else None
