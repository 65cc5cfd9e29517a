"""Who may answer a request: claimed in Redis first, by everybody but an owner who is sure of itself.

Also what follows where there is nothing to carry out: a stored answer is published again, a conflict or another refusal
is answered.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from msgspec import UNSET, Struct

from pycloud.errors import Abandoned, IdConflict, RequestError
from pycloud.protocol.decoding import Refused, digest_for
from pycloud.protocol.keys import owner_of
from pycloud.protocol.messages import CreateRequest, ErrorBody, Request, StatusRequest, refusal
from pycloud.store.claim_renewal import Claims
from pycloud.store.requests import Claim, Ledger, Verdict

log = logging.getLogger(__name__)

#: Seconds for which an answer counts as just given: who finds it has heard the request that it answers, not a repeat.
FRESH = 2.0


class Reception(Struct, frozen=True):
    """How a request came to us.

    ``replay``: it is known to be a repeat, so that even an answer just given is published again, unless somebody has
    done so within that many seconds; None: it is not known to be one. After ``fresh_until`` (monotonic seconds) it was
    held up: what was refused meanwhile is not begun anew for it, as nobody may wait for it any more. After
    ``known_until`` it is not begun at all: another cloud may have answered it, and nobody knows that any more.
    """

    replay: float | None = None
    fresh_until: float = float("inf")
    known_until: float = float("inf")


class Claiming:
    """Claims requests for cloud ``cloud``."""

    def __init__(self, cloud: str, ledger: Ledger) -> None:
        self._cloud, self._ledger = cloud, ledger
        self.claims = Claims(ledger)

    def claim(self, request: Request, payload: bytes, came: Reception) -> Claim | None:
        """The claim to carry a request out; None where that is done: replayed, refused, or somebody else's."""
        session = "" if isinstance(request, CreateRequest) else request.session
        digest = digest_for(request, payload)
        claim = self._claim(type(request), request.id, session, digest, payload, came)
        if claim and isinstance(request, CreateRequest) and request.name:
            return replace(claim, name=request.name)
        return claim

    def refuse(self, request: Request, payload: bytes, error: RequestError, came: Reception) -> None:
        """Answer that a request cannot be carried out, once."""
        if claim := self.claim(request, payload, came):
            self.answer_refusal(claim, request, error)

    def refuse_undecoded(self, refused: Refused, payload: bytes, came: Reception) -> None:
        """Answer what was wrong with a request that could be decoded no further."""
        if claim := self._claim(refused.request, refused.id, refused.session, refused.digest, payload, came):
            self._answer(claim, refused.request, refused.session, refused.error)

    def answer_refusal(self, claim: Claim, request: Request, error: RequestError) -> None:
        """Answer a claimed request with an error."""
        self._answer(claim, type(request), "" if isinstance(request, CreateRequest) else request.session, error)

    def refuse_create(self, claim: Claim, error: RequestError) -> None:
        """Answer a claimed create with an error."""
        self._answer(claim, CreateRequest, "", error)

    def _claim(
        self, kind: type[Request], id_: str, session: str, digest: str, payload: bytes, came: Reception
    ) -> Claim | None:
        claim, ours = Claim(kind.op, id_, digest), owner_of(session) == self._cloud
        limits = {"fresh_until": came.fresh_until, "known_until": came.known_until}
        verdict, age = self._ledger.claim(claim, payload, ours=ours, **limits)
        if verdict is Verdict.CLAIMED:
            return claim
        if verdict is Verdict.ABANDONED:
            self._answer(claim, kind, session, Abandoned("the clouds that tried to carry this out died over it"))
        elif verdict is Verdict.ANSWERED and (came.replay is not None or age > FRESH):
            self._ledger.replay(claim, came.replay or 0.0)
        elif verdict is Verdict.CONFLICT:
            self._refuse_conflict(claim, kind, session, came)
        return None

    def _refuse_conflict(self, claim: Claim, kind: type[Request], session: str, came: Reception) -> None:
        """Its answer is claimed and remembered apart: that of the first request under this id stays what it was."""
        apart = Claim(claim.op, claim.id, claim.digest, variant=claim.digest)
        verdict, age = self._ledger.claim(apart, b"")
        if verdict is Verdict.CLAIMED:
            reason = "this id was used before, with another payload; a new request needs a new id"
            self._answer(apart, kind, session, IdConflict(reason))
        elif verdict is Verdict.ANSWERED and (came.replay is not None or age > FRESH):
            self._ledger.replay(apart, came.replay or 0.0)

    def _answer(self, claim: Claim, kind: type[Request], session: str, error: RequestError) -> None:
        body = ErrorBody(error.code, error.message, error.session or UNSET)
        response = refusal(kind, self._cloud, session, body)
        # A status is answered afresh: what is refused now may be granted to the next one.
        self._ledger.commit(claim, response, passing=error.passing or kind is StatusRequest)
