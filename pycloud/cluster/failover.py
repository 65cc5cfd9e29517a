"""Failover for an offline node: exactly one other node answers for it, and one reports its sessions as lost.

A node answers for others only while it is sure that its subscription works (``Membership.confirmed``): one that
resumes after a freeze has an old membership, in which all other nodes are offline.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic, time

from msgspec import UNSET

from pycloud import fault_points
from pycloud.cluster.membership import Membership
from pycloud.errors import OwnerUnavailable
from pycloud.protocol.keys import owner_of
from pycloud.protocol.messages import Event, RemoveResponse, StatusResponse
from pycloud.protocol.received import ReceivedRequest
from pycloud.protocol.requests import RemoveRequest, StatusRequest
from pycloud.store.records import parse_labels, stale_response
from pycloud.store.request_claimer import RequestClaimer
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
        self._answers: dict[str, Callable[[Claim, ReceivedRequest], None]] = {
            StatusRequest.op: self._answer_status,
            RemoveRequest.op: self._answer_remove,
        }
        #: When the last heartbeat of each node reported as lost was received (monotonic seconds; None: never). A node
        #: with a newer one may be reported again.
        self._reported_lost: dict[str, float | None] = {}

    def answer(self, received: ReceivedRequest) -> None:
        """Answer a request about a session whose owner is offline, or that no node has.

        Does nothing while this node's membership is not confirmed, or where it does not get the claim.
        """
        if not self._membership.confirmed(monotonic()):
            return
        claim = self._claimer.claim(received)
        if claim is None:
            return
        fault_points.fault_point("failover.claimed")
        self._answers[claim.op](claim, received)

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

    def _answer_status(self, claim: Claim, received: ReceivedRequest) -> None:
        """Answer with the last recorded state, marked as stale; false for an unknown session."""
        if monotonic() > received.fresh_until:
            # Redis was slow: the owner may be back, and may have answered meanwhile.
            self._request_store.release(claim)
            return
        session, owner = received.session_id, owner_of(received.session_id)
        record = self._record_of(session)
        if record and owner is not None:
            lost = self._membership.is_lost(owner, self._lost_after, monotonic())
            response = stale_response(self._node, session, record, lost=lost)
        else:
            response = StatusResponse(self._node, session, status=False)
        self._request_store.commit(claim, response, retryable=True, deadline=received.valid_until)

    def _answer_remove(self, claim: Claim, received: ReceivedRequest) -> None:
        """Store a removal for the owner to carry out when it is back; answer false for an unknown session."""
        session, owner = received.session_id, owner_of(received.session_id)
        record, removal = self._record_of(session), PendingRemoval(session, claim.id, claim.digest)
        # A removal that is stored already is still to be answered by the owner, though the session may be gone.
        pending = owner is not None and bool(record or self._session_store.has_pending_removal(owner, removal))
        if owner is None or not pending:
            response = RemoveResponse(self._node, session, status=False)
            self._request_store.commit(claim, response, deadline=received.valid_until)
            return
        self._session_store.add_pending_removal(owner, removal)
        if name := record.get("name"):  # free for another session at once: this one is going to be removed
            self._session_store.name_reservations.release_for_offline_owner(session, name)
        error = OwnerUnavailable(f"node {owner} is offline; the session is removed as soon as the node is back")
        self._claimer.reject_claimed(claim, error, session)

    def _record_of(self, session: str) -> dict[str, str]:
        """What Redis has on record. All sessions of this node are in memory: one that is not there does not exist."""
        return {} if owner_of(session) == self._node else self._session_store.get_record(session)

    def _mark_lost(self, node: str) -> None:
        peer = self._membership.peers.get(node)
        last_seen = None if peer is None else peer.last_seen
        if node in self._reported_lost and self._reported_lost[node] == last_seen:
            return
        sessions = self._session_store.mark_lost(node)
        self._reported_lost[node] = last_seen
        if sessions:
            after = self._lost_after
            log.warning("node %s: no heartbeat for %g s; its %d sessions are lost", node, after, len(sessions))
        for lost in sessions:
            name, labels = lost.name.decode() or UNSET, parse_labels({"labels": lost.labels.decode()}) or UNSET
            self._session_store.publish_event(
                Event("session.lost", node, time(), session=lost.session, name=name, labels=labels)
            )
