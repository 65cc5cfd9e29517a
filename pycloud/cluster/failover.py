"""Failover for an offline node: exactly one other node answers for it, and one reports its sessions as lost.

A node answers for others only while it is sure that its subscription works (``Membership.confirmed``): one that
resumes after a freeze has an old membership, in which all other nodes are offline.
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

#: Seconds between two checks for lost nodes, and between two checks for expired records.
LOST_CHECK_INTERVAL, PRUNE_INTERVAL = 5.0, 60.0


class FailoverResponder:
    """Answers for offline nodes. ``lost_after``: seconds after which an offline node counts as lost."""

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
        #: When the last heartbeat of each node reported as lost was received (monotonic seconds; None: never). A node
        #: with a newer one may be reported again.
        self._reported_lost: dict[str, float | None] = {}

    def answer(self, request: StatusRequest | RemoveRequest, payload: bytes, deadlines: RequestDeadlines) -> None:
        """Answer a request about a session whose owner is offline, or that no node has.

        Does nothing while this node's membership is not confirmed, or where it does not get the claim.
        """
        if not self._membership.confirmed(monotonic()):
            return
        claim = self._claimer.claim(request, payload, deadlines)
        if claim is None:
            return
        fault_points.fault_point("absent.claimed")
        if isinstance(request, StatusRequest) and monotonic() > deadlines.fresh_until:
            # Redis was slow: the owner may be back, and may have answered meanwhile.
            self._request_store.release(claim)
            return
        # All sessions of this node are in memory: one that is not there does not exist.
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
        """Mark the sessions of lost nodes as lost, and publish events about them.

        Done by one node, the least loaded; by another where that one dies.
        """
        now = monotonic()
        if self._membership.responder_position(now) != 0 or not self._membership.confirmed(now):
            return
        for node in self._session_store.node_ids():
            if self._membership.is_lost(node, self._lost_after, now):
                self._mark_lost(node)

    def prune_indexes(self) -> None:
        """Remove expired entries from the indexes. Done by one node, too."""
        # A node that came back and died before its heartbeat was received here has to be reported again.
        self._reported_lost.clear()
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
        """Whether the owner has yet to answer this very request; the session itself may be gone by now."""
        owner = owner_of(request.session)
        return owner is not None and self._session_store.has_pending_removal(owner, _pending_removal(claim, request))

    def _store_pending_removal(self, claim: Claim, request: RemoveRequest, name: str | None) -> None:
        owner = str(owner_of(request.session))
        self._session_store.add_pending_removal(owner, _pending_removal(claim, request))
        if name:  # free for another session at once: this one is going to be removed
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
