"""Claims requests in Redis, so that exactly one node answers each; only a confirmed owner answers without a claim.

Also handles requests that are not carried out: a stored response is published again, a conflict or another rejection is
answered.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from msgspec import UNSET, Struct

from pycloud.errors import Abandoned, IdConflict, RequestError
from pycloud.protocol.decoding import RejectedRequest, digest_for
from pycloud.protocol.keys import owner_of
from pycloud.protocol.messages import CreateRequest, ErrorBody, Request, StatusRequest, error_response
from pycloud.store.claim_renewal import ClaimRenewer
from pycloud.store.requests import Claim, ClaimResult, RequestStore

log = logging.getLogger(__name__)

#: Seconds for which a response counts as fresh: a node that finds it has received the answered request, not a repeat.
FRESH_RESPONSE_AGE = 2.0


class RequestDeadlines(Struct, frozen=True):
    """Deadlines of a request, derived from the way it arrived.

    ``replay_interval``: the request is known to be a repeat, so that even a fresh response is published again, unless
    that was done within that many seconds; None: not known to be a repeat. After ``fresh_until`` (monotonic seconds) it
    counts as delayed: where it was rejected meanwhile it is not started anew, as its requester may have stopped
    waiting. After ``valid_until`` it is not started at all: another node may have answered it, and Redis may have
    forgotten the response.
    """

    replay_interval: float | None = None
    fresh_until: float = float("inf")
    valid_until: float = float("inf")


class RequestClaimer:
    """Claims requests for node ``node``."""

    def __init__(self, node: str, request_store: RequestStore) -> None:
        self._node, self._request_store = node, request_store
        self.renewer = ClaimRenewer(request_store)

    def claim(self, request: Request, payload: bytes, deadlines: RequestDeadlines) -> Claim | None:
        """The claim to carry a request out; None where it was replayed or rejected, or is another node's."""
        session = "" if isinstance(request, CreateRequest) else request.session
        digest = digest_for(request, payload)
        claim = self._claim(type(request), request.id, session, digest, payload, deadlines)
        if claim and isinstance(request, CreateRequest) and request.name:
            return replace(claim, name=request.name)
        return claim

    def reject(self, request: Request, payload: bytes, error: RequestError, deadlines: RequestDeadlines) -> None:
        """Answer once that a request cannot be carried out."""
        if claim := self.claim(request, payload, deadlines):
            self.reject_claimed(claim, request, error)

    def reject_malformed(self, rejected: RejectedRequest, payload: bytes, deadlines: RequestDeadlines) -> None:
        """Answer a request that could only be decoded in part with its error."""
        if claim := self._claim(
            rejected.request_type, rejected.id, rejected.session, rejected.digest, payload, deadlines
        ):
            self._commit_error(claim, rejected.request_type, rejected.session, rejected.error)

    def reject_claimed(self, claim: Claim, request: Request, error: RequestError) -> None:
        """Answer a claimed request with an error."""
        self._commit_error(claim, type(request), "" if isinstance(request, CreateRequest) else request.session, error)

    def reject_claimed_create(self, claim: Claim, error: RequestError) -> None:
        """Answer a claimed create with an error."""
        self._commit_error(claim, CreateRequest, "", error)

    def _claim(
        self,
        request_type: type[Request],
        id_: str,
        session: str,
        digest: str,
        payload: bytes,
        deadlines: RequestDeadlines,
    ) -> Claim | None:
        claim, own_session = Claim(request_type.op, id_, digest), owner_of(session) == self._node
        limits = {"fresh_until": deadlines.fresh_until, "valid_until": deadlines.valid_until}
        result, age = self._request_store.claim(claim, payload, own_session=own_session, **limits)
        if result is ClaimResult.CLAIMED:
            return claim
        if result is ClaimResult.ABANDONED:
            self._commit_error(
                claim, request_type, session, Abandoned("the clouds that tried to carry this out died over it")
            )
        elif result is ClaimResult.ANSWERED and (deadlines.replay_interval is not None or age > FRESH_RESPONSE_AGE):
            self._request_store.replay(claim, deadlines.replay_interval or 0.0)
        elif result is ClaimResult.CONFLICT:
            self._reject_conflict(claim, request_type, session, deadlines)
        return None

    def _reject_conflict(
        self, claim: Claim, request_type: type[Request], session: str, deadlines: RequestDeadlines
    ) -> None:
        """Claim and store the response to a conflict under its own key; that to the first request is unchanged."""
        conflict_claim = Claim(claim.op, claim.id, claim.digest, variant=claim.digest)
        result, age = self._request_store.claim(conflict_claim, b"")
        if result is ClaimResult.CLAIMED:
            reason = "this id was used before, with another payload; a new request needs a new id"
            self._commit_error(conflict_claim, request_type, session, IdConflict(reason))
        elif result is ClaimResult.ANSWERED and (deadlines.replay_interval is not None or age > FRESH_RESPONSE_AGE):
            self._request_store.replay(conflict_claim, deadlines.replay_interval or 0.0)

    def _commit_error(self, claim: Claim, request_type: type[Request], session: str, error: RequestError) -> None:
        body = ErrorBody(error.code, error.message, error.session or UNSET)
        response = error_response(request_type, self._node, session, body)
        # A status is never final: a rejected one may succeed when it is repeated.
        self._request_store.commit(claim, response, retryable=error.retryable or request_type is StatusRequest)
