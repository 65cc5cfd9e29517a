"""Claims requests before a node handles them, renews the claims while it does, and answers those that it rejects.

Every node claims, except an owner that is sure that no other node answers for it. A request that needs no handling is
finished here: a stored response is published again, a conflict or another error is answered. A claim that is lost
while it is held is noticed where it matters, when the response is committed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic

import gevent
import redis
from msgspec import UNSET

from pycloud.errors import Abandoned, IdConflict, RequestError
from pycloud.protocol.decoding import digest_for
from pycloud.protocol.keys import owner_of
from pycloud.protocol.messages import ErrorBody
from pycloud.protocol.received import ReceivedRequest
from pycloud.protocol.requests import REQUESTS, CreateRequest
from pycloud.store.requests import CLAIM_VALIDITY, LEASE, Claim, ClaimResult, RequestStore

log = logging.getLogger(__name__)

#: Seconds for which a response counts as new: a node that finds it received the answered request, not a repeat.
FRESH_RESPONSE_AGE = 2.0
#: Seconds between two renewals: two may fail before a lease runs out.
RENEWAL_INTERVAL = 0.3 * LEASE / 1000


class RequestClaimer:
    """Claims requests for node ``node``, and renews all claims that are held from one greenlet."""

    def __init__(self, node: str, request_store: RequestStore) -> None:
        self._node, self._request_store = node, request_store
        self._held: dict[Claim, float] = {}
        self._renewing: gevent.Greenlet | None = None

    def start(self) -> None:
        """Start renewing."""
        self._renewing = gevent.spawn(self._renew_for_ever)

    def stop(self) -> None:
        """Stop renewing."""
        if self._renewing is not None:
            self._renewing.kill()

    def claim(self, received: ReceivedRequest) -> Claim | None:
        """The claim to handle a request; None: there is nothing left to do, or another node handles it."""
        request = received.request
        claim = Claim(request.op, request.id, digest_for(request, received.payload))
        result, age = self._request_store.claim(
            claim,
            received.payload,
            own_session=owner_of(request.session_id) == self._node,
            fresh_until=received.fresh_until,
            valid_until=received.valid_until,
        )
        if result is ClaimResult.CLAIMED:
            name = request.name if isinstance(request, CreateRequest) else None
            return replace(claim, name=name) if name else claim
        if result is ClaimResult.ABANDONED:
            error = Abandoned("every node that tried to carry this out died; to try again, use a new id")
            self.reject_claimed(claim, error, request.session_id)
        elif result is ClaimResult.ANSWERED:
            self._replay(claim, received, age)
        elif result is ClaimResult.CONFLICT:
            self._reject_conflict(claim, received)
        return None

    def reject(self, received: ReceivedRequest, error: RequestError) -> None:
        """Answer a request with an error, once."""
        if claim := self.claim(received):
            self.reject_claimed(claim, error, received.request.session_id)

    def reject_claimed(self, claim: Claim, error: RequestError, session_id: str = "") -> None:
        """Answer a claimed request with an error; ``session_id``: the session that it named."""
        kind = REQUESTS[claim.op]
        body = ErrorBody(error.code, error.message, error.session or UNSET)
        # A read-only request is answered anew each time: one that is rejected now may succeed the next time.
        retryable = error.retryable or kind.read_only
        self._request_store.commit(claim, kind.response.rejection(self._node, session_id, body), retryable=retryable)

    @contextmanager
    def hold(self, claim: Claim, valid_until: float = float("inf")) -> Iterator[None]:
        """Renew ``claim`` within this block. ``valid_until``: monotonic seconds, as of now; see the method."""
        self._held[claim] = valid_until
        try:
            yield
        finally:
            self._held.pop(claim, None)

    def valid_until(self, claim: Claim) -> float:
        """Until when (monotonic seconds) Redis certainly remembers a claim or its next holder, without a renewal."""
        return self._held.get(claim, float("inf"))

    def is_held(self, op: str, request_id: str) -> bool:
        """Whether this node is handling a request."""
        return any(claim.op == op and claim.id == request_id for claim in self._held)

    def renew(self) -> None:
        """Renew all claims that are held, now."""
        began = monotonic()
        # Each is checked only when its turn comes: a claim that was answered meanwhile needs no renewal.
        renewed = self._request_store.renew(claim for claim in list(self._held) if claim in self._held)
        self._held.update((claim, began + CLAIM_VALIDITY) for claim in renewed if claim in self._held)

    def _replay(self, claim: Claim, received: ReceivedRequest, age: float) -> None:
        """Publish a stored response again, unless it is new and the request not known to be a repeat."""
        interval = received.source.replay_interval
        if interval is not None or age > FRESH_RESPONSE_AGE:
            self._request_store.replay(claim, interval or 0.0)

    def _reject_conflict(self, claim: Claim, received: ReceivedRequest) -> None:
        """The error is claimed and stored apart: the response to the first request under this id stays."""
        conflict_claim = Claim(claim.op, claim.id, claim.digest, variant=claim.digest)
        result, age = self._request_store.claim(conflict_claim, b"")
        if result is ClaimResult.CLAIMED:
            reason = "this id was used before, with another payload; a new request needs a new id"
            self.reject_claimed(conflict_claim, IdConflict(reason), received.request.session_id)
        elif result is ClaimResult.ANSWERED:
            self._replay(conflict_claim, received, age)

    def _renew_for_ever(self) -> None:
        while True:
            gevent.sleep(RENEWAL_INTERVAL)
            try:
                self.renew()
            except redis.RedisError as error:
                log.warning("cannot renew claims, will retry: %s", error)
