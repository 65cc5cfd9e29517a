"""What clouds do for one that is away: exactly one of them answers for it, and one says so when it is lost.

A cloud speaks for others only while it is sure to hear what is published (``View.sure``): one that was frozen wakes up
with an old view, in which all the others are away.
"""

from __future__ import annotations

import logging
from time import monotonic, time

from msgspec import UNSET

from pycloud import fault_points
from pycloud.cluster.membership import View
from pycloud.errors import OwnerAway
from pycloud.protocol.keys import owner_of
from pycloud.protocol.messages import Event, RemoveRequest, RemoveResponse, StatusRequest, StatusResponse
from pycloud.store.records import labels_in, stale_response
from pycloud.store.request_claimer import Claiming, Reception
from pycloud.store.requests import Claim, Ledger
from pycloud.store.sessions import Registry, Wish

log = logging.getLogger(__name__)

#: Seconds between two looks for clouds that are lost, and for records that have expired.
LOOK, SWEEP = 5.0, 60.0


class Absent:
    """``lost_after``: seconds after which a cloud that is away counts as lost."""

    def __init__(self, ledger: Ledger, registry: Registry, view: View, claiming: Claiming, lost_after: float) -> None:
        self._cloud, self._ledger, self._registry = view.own, ledger, registry
        self._view, self._claiming = view, claiming
        self._lost_after = lost_after
        #: The clouds that were said to be lost, by when they had last been heard: who is heard again may be lost again.
        self._told_lost: dict[str, float | None] = {}

    def answer(self, request: StatusRequest | RemoveRequest, payload: bytes, came: Reception) -> None:
        """Answer for a session whose owner is away, or which nobody knows."""
        if not self._view.sure(monotonic()):
            return
        claim = self._claiming.claim(request, payload, came)
        if claim is None:
            return
        fault_points.point("absent.claimed")
        if isinstance(request, StatusRequest) and monotonic() > came.fresh_until:
            self._ledger.release(claim)  # Redis took its time: the owner may be back, and have answered meanwhile
            return
        # Our own are all in memory: what is not there is not.
        ours = owner_of(request.session) == self._cloud
        record = {} if ours else self._registry.session(request.session)
        if isinstance(request, StatusRequest):
            self._answer_status(claim, request, record, came.known_until)
        elif not record and not self._is_wished(claim, request):
            nothing = RemoveResponse(self._cloud, request.session, status=False)
            self._ledger.commit(claim, nothing, until=came.known_until)
        else:
            self._keep_wish(claim, request, record.get("name"))

    def look(self) -> None:
        """Say which clouds are lost. Done by one cloud, the least loaded; again by another where that one dies."""
        now = monotonic()
        if self._view.speaker(now) != 0 or not self._view.sure(now):
            return
        for cloud in self._registry.clouds():
            if self._view.lost(cloud, self._lost_after, now):
                self._say_lost(cloud)

    def sweep(self) -> None:
        """Take out of the indexes what has expired. Done by one cloud, too."""
        self._told_lost.clear()  # one that came back only to die at once was not heard: now and then all are looked at
        if self._view.speaker(monotonic()) == 0:
            self._registry.sweep(time())

    def _answer_status(self, claim: Claim, request: StatusRequest, record: dict[str, str], until: float) -> None:
        owner = owner_of(request.session)
        if record and owner is not None:
            lost = self._view.lost(owner, self._lost_after, monotonic())
            response = stale_response(self._cloud, request.session, record, lost=lost)
        else:
            response = StatusResponse(self._cloud, request.session, status=False)
        self._ledger.commit(claim, response, passing=True, until=until)

    def _is_wished(self, claim: Claim, request: RemoveRequest) -> bool:
        """Whether the owner has yet to answer this very request, though the session may be gone by now."""
        owner = owner_of(request.session)
        return owner is not None and self._registry.is_wished(owner, _wish(claim, request))

    def _keep_wish(self, claim: Claim, request: RemoveRequest, name: str | None) -> None:
        owner = str(owner_of(request.session))
        self._registry.wish(owner, _wish(claim, request))
        if name:  # another session may have it at once: this one has no future
            self._registry.session_names.give_up(request.session, name)
        error = OwnerAway(f"cloud {owner} is away; the session is removed as soon as it is back")
        self._claiming.answer_refusal(claim, request, error)

    def _say_lost(self, cloud: str) -> None:
        peer = self._view.peers.get(cloud)
        heard = None if peer is None else peer.heard
        if cloud in self._told_lost and self._told_lost[cloud] == heard:
            return
        sessions = self._registry.mark_lost(cloud)
        self._told_lost[cloud] = heard
        if sessions:
            after = self._lost_after
            log.warning("cloud %s was not heard for %g s: its %d sessions are lost", cloud, after, len(sessions))
        for lost in sessions:
            name, labels = lost.name.decode() or UNSET, labels_in({"labels": lost.labels.decode()}) or UNSET
            self._registry.tell(Event("session.lost", cloud, time(), session=lost.session, name=name, labels=labels))


def _wish(claim: Claim, request: RemoveRequest) -> Wish:
    return Wish(request.session, request.id, claim.digest)
