"""What clouds do for one that is away: exactly one of them answers for it, and one says so when it is lost.

A cloud speaks for others only while it is sure to hear what is published (``View.sure``): one that was frozen wakes up
with an old view, in which all the others are away.
"""

from __future__ import annotations

import logging
from time import monotonic, time

from msgspec import UNSET

from pycloud import fault_points
from pycloud.cluster.membership import Membership
from pycloud.errors import OwnerUnavailable
from pycloud.protocol.keys import owner_of
from pycloud.protocol.messages import Event, RemoveRequest, RemoveResponse, StatusRequest, StatusResponse
from pycloud.store.records import parse_labels, stale_response
from pycloud.store.request_claimer import RequestClaimer, RequestDeadlines
from pycloud.store.requests import Claim, RequestStore
from pycloud.store.sessions import PendingRemoval, SessionStore

log = logging.getLogger(__name__)

#: Seconds between two looks for clouds that are lost, and for records that have expired.
LOST_CHECK_INTERVAL, PRUNE_INTERVAL = 5.0, 60.0


class FailoverResponder:
    """``lost_after``: seconds after which a cloud that is away counts as lost."""

    def __init__(
        self,
        request_store: RequestStore,
        session_store: SessionStore,
        membership: Membership,
        claimer: RequestClaimer,
        lost_after: float,
    ) -> None:
        self._node, self._request_store, self._session_store = membership.own_id, request_store, session_store
        self._membership, self._claimer = membership, claimer
        self._lost_after = lost_after
        #: The clouds that were said to be lost, by when they had last been heard: who is heard again may be lost again.
        self._reported_lost: dict[str, float | None] = {}

    def answer(self, request: StatusRequest | RemoveRequest, payload: bytes, deadlines: RequestDeadlines) -> None:
        """Answer for a session whose owner is away, or which nobody knows."""
        if not self._membership.confirmed(monotonic()):
            return
        claim = self._claimer.claim(request, payload, deadlines)
        if claim is None:
            return
        fault_points.fault_point("absent.claimed")
        if isinstance(request, StatusRequest) and monotonic() > deadlines.fresh_until:
            self._request_store.release(
                claim
            )  # Redis took its time: the owner may be back, and have answered meanwhile
            return
        # Our own are all in memory: what is not there is not.
        own = owner_of(request.session) == self._node
        record = {} if own else self._session_store.get_record(request.session)
        if isinstance(request, StatusRequest):
            self._answer_status(claim, request, record, deadlines.valid_until)
        elif not record and not self._has_pending_removal(claim, request):
            response = RemoveResponse(self._node, request.session, status=False)
            self._request_store.commit(claim, response, deadline=deadlines.valid_until)
        else:
            self._store_pending_removal(claim, request, record.get("name"))

    def mark_lost_nodes(self) -> None:
        """Say which clouds are lost. Done by one cloud, the least loaded; again by another where that one dies."""
        now = monotonic()
        if self._membership.responder_position(now) != 0 or not self._membership.confirmed(now):
            return
        for node in self._session_store.node_ids():
            if self._membership.is_lost(node, self._lost_after, now):
                self._mark_lost(node)

    def prune_indexes(self) -> None:
        """Take out of the indexes what has expired. Done by one cloud, too."""
        self._reported_lost.clear()  # a node that came back only to die at once was not heard: report it again
        if self._membership.responder_position(monotonic()) == 0:
            self._session_store.prune_indexes(time())

    def _answer_status(self, claim: Claim, request: StatusRequest, record: dict[str, str], deadline: float) -> None:
        owner = owner_of(request.session)
        if record and owner is not None:
            lost = self._membership.is_lost(owner, self._lost_after, monotonic())
            response = stale_response(self._node, request.session, record, lost=lost)
        else:
            response = StatusResponse(self._node, request.session, status=False)
        self._request_store.commit(claim, response, retryable=True, deadline=deadline)

    def _has_pending_removal(self, claim: Claim, request: RemoveRequest) -> bool:
        """Whether the owner has yet to answer this very request, though the session may be gone by now."""
        owner = owner_of(request.session)
        return owner is not None and self._session_store.has_pending_removal(owner, _pending_removal(claim, request))

    def _store_pending_removal(self, claim: Claim, request: RemoveRequest, name: str | None) -> None:
        owner = str(owner_of(request.session))
        self._session_store.add_pending_removal(owner, _pending_removal(claim, request))
        if name:  # another session may have it at once: this one has no future
            self._session_store.name_reservations.release_for_offline_owner(request.session, name)
        error = OwnerUnavailable(f"cloud {owner} is away; the session is removed as soon as it is back")
        self._claimer.reject_claimed(claim, request, error)

    def _mark_lost(self, node: str) -> None:
        peer = self._membership.peers.get(node)
        last_seen = None if peer is None else peer.last_seen
        if node in self._reported_lost and self._reported_lost[node] == last_seen:
            return
        sessions = self._session_store.mark_lost(node)
        self._reported_lost[node] = last_seen
        if sessions:
            after = self._lost_after
            log.warning("cloud %s was not heard for %g s: its %d sessions are lost", node, after, len(sessions))
        for lost in sessions:
            name, labels = lost.name.decode() or UNSET, parse_labels({"labels": lost.labels.decode()}) or UNSET
            self._session_store.publish_event(
                Event("session.lost", node, time(), session=lost.session, name=name, labels=labels)
            )


def _pending_removal(claim: Claim, request: RemoveRequest) -> PendingRemoval:
    return PendingRemoval(request.session, request.id, claim.digest)
