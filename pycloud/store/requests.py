"""Claims and responses of requests in Redis: which node may carry a request out, and its response.

The keys are described at the top of ``lua/claim.lua`` and in docs/protocol.md. Every operation here may be repeated
without harm.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Event, encode
from pycloud.protocol.requests import REQUESTS
from pycloud.protocol.session import Session
from pycloud.store.records import record_of, record_ttl
from pycloud.store.scripts import load_script
from pycloud.transport.paging import START, page_limits, parse_page
from pycloud.transport.pipeline import DeadlineExceeded, RedisArgument, RedisPipeline, chunked

#: Milliseconds for which a claim is valid without renewal, and for which a response is stored.
LEASE = 5_000
RESPONSE_TTL = 600_000
#: Seconds for which a claim and its response are certain to be stored.
CLAIM_VALIDITY = 0.9 * RESPONSE_TTL / 1000
#: Milliseconds for which a retryable error is replayed; after that, a repeat is a new request.
RETRYABLE_ERROR_TTL = 5_000
#: Milliseconds for which the response to a status is stored: a node that receives the status late finds it answered.
STATUS_RESPONSE_TTL = 8_000
#: Milliseconds for which a name is reserved for a starting session, unless the claim of its create is renewed: long
#: enough for another node to take that claim over.
NAME_LEASE = 3 * LEASE
#: Takeovers after which a create is answered ``abandoned``: it may be the cause of the nodes' deaths. A remove or a
#: status is never abandoned: an owner finishes a remove that it began in any case, and other nodes only write to Redis.
MAX_TAKEOVERS, UNLIMITED_TAKEOVERS = 2, 1 << 30
MAX_EVENTS = 10_000
#: Expired claims that are read together.
EXPIRED_CLAIMS_PAGE_SIZE = 500
#: Bytes of payloads after which no further expired claim is read.
MAX_EXPIRED_PAYLOAD_BYTES = 8 << 20
#: Responses that a node keeps in memory, for a Redis that has lost them.
MAX_REMEMBERED_RESPONSES = 10_000


class ClaimResult(StrEnum):
    """Result of an attempt to claim a request (lua/claim.lua)."""

    CLAIMED = "claimed"
    ABANDONED = "abandoned"
    ANSWERED = "answered"
    HELD = "held"
    CONFLICT = "conflict"


class CommitResult(StrEnum):
    """Result of an attempt to answer a request (lua/commit.lua)."""

    COMMITTED = "committed"
    ALREADY_COMMITTED = "already"
    CLAIM_LOST = "lost"
    NAME_TAKEN = "named"


@dataclass(frozen=True)
class Claim:
    """The right to answer request ``id`` of ``op``, as long as Redis holds no other claim's ``token``.

    ``variant`` separates the response to another payload under a used id (its digest, or empty). ``name``: that of the
    session to be created, or empty; its reservation is renewed with the claim.
    """

    op: str
    id: str
    digest: str
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    variant: str = ""
    #: Not compared: the claim of a session is looked up without it.
    name: str = field(default="", compare=False)

    @classmethod
    def of(cls, session: Session) -> Claim:
        """The claim under which the create of a session was, or is to be, answered."""
        return cls("create", session.request, session.digest, session.token)

    @property
    def member(self) -> str:
        """The request's member in the claims index.

        A claim with a variant is never taken over: its member leads to no payload.
        """
        return f"{self.op}+{self.variant}:{self.id}" if self.variant else f"{self.op}:{self.id}"


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response and the claim under which it was given, at ``answered_at`` (Unix seconds)."""

    claim: Claim
    response: msgspec.Struct
    answered_at: float


@dataclass(frozen=True, slots=True)
class ExpiredClaim:
    """A request whose claim expired without a response. ``payload`` is None where it has expired.

    ``own``: this node had claimed it.
    """

    op: str
    id: str
    payload: bytes | None
    own: bool


class RequestStore:
    """Claims and responses of node ``node``. ``retention``: seconds for which ended sessions are kept."""

    def __init__(self, pipeline: RedisPipeline, keys: Keys, node: str, retention: float) -> None:
        self._pipeline, self._keys, self._node, self._retention = pipeline, keys, node, retention
        self._claim_script = load_script("claim")
        self._are_claimed_script = load_script("are_claimed")
        self._renew_script = load_script("renew")
        self._release_script = load_script("release")
        self._commit_script = load_script("commit")
        self._restore_script = load_script("restore")
        self._expired_claims_script = load_script("expired_claims")
        self._replay_script = load_script("replay")
        self._store_deferred_response_script = load_script("store_deferred_response")
        self._expired_cursor = START

    def claim(
        self,
        claim: Claim,
        payload: bytes,
        *,
        own_session: bool = False,
        fresh_until: float = float("inf"),
        valid_until: float = float("inf"),
    ) -> tuple[ClaimResult, float]:
        """Try to claim a request; ``payload`` is stored for a takeover.

        Returns the result and, for an answered request, the age of the response in seconds. ``own_session``: it is
        about this node's session. After ``fresh_until`` (monotonic seconds) the request counts as delayed: where it was
        rejected meanwhile it is not started anew. After ``valid_until`` its response may have been given and forgotten,
        so that it is not claimed (HELD); a requester that still waits repeats it.
        """
        who = (claim.member, claim.token, self._node, claim.digest)
        max_takeovers = UNLIMITED_TAKEOVERS if REQUESTS[claim.op].names_session else MAX_TAKEOVERS
        args = (*who, payload, LEASE, RESPONSE_TTL, max_takeovers, self._pipeline.run_id, int(own_session))
        keys = self._claim_keys(claim)
        for held_up, until in ((0, min(fresh_until, valid_until)), (1, valid_until)):
            with suppress(DeadlineExceeded):
                result, age = self._pipeline.eval_script(self._claim_script, keys, (*args, held_up), deadline=until)
                return ClaimResult(result.decode()), age / 1000
        return ClaimResult.HELD, 0.0

    def renew(self, claims: Iterable[Claim]) -> list[Claim]:
        """Renew claims for another lease; returns those that this node still holds."""
        ttls, held = (LEASE, RESPONSE_TTL, NAME_LEASE, self._pipeline.run_id), list[Claim]()
        for page in chunked(claims):
            runs = [
                ([*self._claim_keys(claim), *self._name_keys(claim.name)], (claim.member, claim.token, *ttls))
                for claim in page
            ]
            renewed = self._pipeline.eval_scripts(self._renew_script, runs)
            held += [claim for claim, is_held in zip(page, renewed, strict=True) if is_held]
        return held

    def release(self, claim: Claim) -> None:
        """Give a claim back: another node may carry the request out."""
        self._pipeline.eval_script(self._release_script, self._claim_keys(claim), (claim.member, claim.token))

    def are_claimed(self, requests: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each request (op and id) is claimed or answered; a retryable error counts only until it expires."""
        keys = [self._request_key(*request) for request in requests]
        return [found == 1 for found in self._pipeline.eval_script(self._are_claimed_script, keys, ())]

    def expired_claims(self) -> list[ExpiredClaim]:
        """The next page of requests that were claimed but not finished; starts over after the last page.

        Payloads are limited to MAX_EXPIRED_PAYLOAD_BYTES: the rest is found when these are claimed.
        """
        cursor = self._expired_cursor
        reply = self._pipeline.eval_script(
            self._expired_claims_script, [self._keys.claims_key], page_limits(cursor, EXPIRED_CLAIMS_PAGE_SIZE)
        )
        members, next_cursor = parse_page(reply, cursor, EXPIRED_CLAIMS_PAGE_SIZE)
        self._expired_cursor = next_cursor or START
        requests = [member.partition(":")[::2] for member in members]
        keys = [self._request_key(*request) for request in requests]
        holders = self._pipeline.execute_many([("HMGET", key, "cloud", "run") for key in keys])
        sizes = self._pipeline.execute_many([("HSTRLEN", key, "payload") for key in keys])
        own, run = self._node.encode(), self._pipeline.run_id.encode()
        # A create that another node claimed in an earlier run of Redis may not be taken over (lua/claim.lua).
        found, bytes_left = list[tuple[tuple[str, str], bool]](), MAX_EXPIRED_PAYLOAD_BYTES
        for request, (holder, holder_run), size in zip(requests, holders, sizes, strict=True):
            if bytes_left > 0 and (holder in (None, own) or holder_run == run or _names_session(request[0])):
                found.append((request, holder == own))
                bytes_left -= size
        payloads = self._pipeline.execute_many(
            [("HGET", self._request_key(*request), "payload") for request, _ours in found]
        )
        return [ExpiredClaim(*r, payload, ours) for (r, ours), payload in zip(found, payloads, strict=True)]

    def delete_expired_claim(self, op: str, request_id: str) -> None:
        """Delete a claim whose request has expired and can no longer be carried out."""
        self._pipeline.execute("ZREM", self._keys.claims_key, f"{op}:{request_id}")

    def commit(
        self,
        claim: Claim,
        response: msgspec.Struct,
        *,
        retryable: bool = False,
        record: Session | None = None,
        erase: Session | None = None,
        event: Event | None = None,
        deadline: float = float("inf"),
    ) -> CommitResult:
        """Answer a claimed request, and record or erase a session with it, atomically.

        Not after ``deadline`` (monotonic seconds): the claim, and a takeover of it, may be forgotten by then.
        """
        retryable_status = retryable and REQUESTS[claim.op].read_only  # it changes nothing, so it may be repeated
        session, change = (record, "record") if record else (erase, "erase") if erase else (None, "none")
        args: list[RedisArgument] = [
            *(claim.member, claim.token, claim.digest, encode(response)),
            *(
                STATUS_RESPONSE_TTL if retryable_status else RESPONSE_TTL,
                self._keys.response_channel(claim.op, claim.id),
            ),
            *(change, session.id if session else "", session.created if session else 0),
            record_ttl(session, self._retention) if session else 0,
            *(encode(event) if event else b"", self._keys.events_channel, MAX_EVENTS),
            RETRYABLE_ERROR_TTL if retryable and not retryable_status else 0,
            "live" if session and session.alive else "ended",
        ]
        keys = [
            *self._claim_keys(claim),
            *self._keys.session_keys(session.id if session else "", self._node),
            self._keys.events_key,
            *self._name_keys(session.name if session else None),
        ]
        args.extend(record_of(record) if record else ())
        try:
            return CommitResult(self._pipeline.eval_script(self._commit_script, keys, args, deadline=deadline).decode())
        except DeadlineExceeded:  # or it was sent before, and the connection broke before the reply
            return (
                CommitResult.ALREADY_COMMITTED
                if record and self._pipeline.execute("EXISTS", keys[2])
                else CommitResult.CLAIM_LOST
            )

    def store_deferred_response(self, claim: Claim, response: msgspec.Struct) -> None:
        """Store the response to a deferred request that has been carried out since."""
        args = (claim.member, claim.token, claim.digest, encode(response), RESPONSE_TTL)
        self._pipeline.eval_script(self._store_deferred_response_script, self._claim_keys(claim), args)

    def replay(self, claim: Claim, min_interval: float) -> None:
        """Publish the stored response again, unless that was done within ``min_interval`` seconds."""
        channel = self._keys.response_channel(claim.op, claim.id)
        self._pipeline.eval_script(
            self._replay_script, self._claim_keys(claim)[:1], (channel, int(min_interval * 1000))
        )

    def publish_response(
        self, op: str, request_id: str, response: msgspec.Struct, *, max_age: float | None = None
    ) -> None:
        """Publish an owner's response without a claim; dropped where it cannot be sent within ``max_age`` seconds."""
        self._pipeline.send("PUBLISH", self._keys.response_channel(op, request_id), encode(response), max_age=max_age)

    def restore_responses(self, responses: Iterable[tuple[Claim, msgspec.Struct]]) -> None:
        """Write responses, each with the claim under which it was given, where Redis has lost them."""
        for page in chunked(responses):
            self._pipeline.eval_scripts(
                self._restore_script, [self._restore_arguments(claim, response) for claim, response in page]
            )

    def _claim_keys(self, claim: Claim) -> list[str]:
        request = self._request_key(claim.op, claim.id)
        return [f"{request}:{claim.variant}" if claim.variant else request, self._keys.claims_key]

    def _name_keys(self, name: str | None) -> list[str]:
        return [self._keys.name_key(name)] if name else []

    def _restore_arguments(self, claim: Claim, response: msgspec.Struct) -> tuple[list[str], list[RedisArgument]]:
        return self._claim_keys(claim), [claim.member, claim.token, claim.digest, encode(response), RESPONSE_TTL]

    def _request_key(self, op: str, request_id: str) -> str:
        return self._keys.request_key(op, request_id)


def _names_session(op: str) -> bool:
    """Whether requests of ``op`` are about a session; also true for an op of a newer version."""
    kind = REQUESTS.get(op)
    return kind is None or kind.names_session
