"""Claims and answers of requests in Redis: who may carry one out, and what was answered.

The keys are described atop ``lua/claim.lua`` and in docs/protocol.md. Everything here may be repeated without harm.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import CreateRequest, Event, StatusRequest, encode
from pycloud.protocol.session import Session
from pycloud.store.records import record_of, record_ttl
from pycloud.store.scripts import load_script
from pycloud.transport.paging import START, page_limits, parse_page
from pycloud.transport.pipeline import DeadlineExceeded, RedisArgument, RedisPipeline, chunked

#: Milliseconds that a claim lasts unless it is renewed, and that an answer is remembered.
LEASE = 5_000
RESPONSE_TTL = 600_000
#: Seconds for which a claim and its answer are surely remembered.
CLAIM_VALIDITY = 0.9 * RESPONSE_TTL / 1000
#: Milliseconds that an answer is replayed which says that something cannot be done just now.
RETRYABLE_ERROR_TTL = 5_000
#: Milliseconds that an answer to a status is remembered: who hears the status late finds it answered.
STATUS_RESPONSE_TTL = 8_000
#: Milliseconds for which a name is kept for a session that is being started, unless the claim of its create is renewed:
#: long enough for somebody else to take that over.
NAME_LEASE = 3 * LEASE
#: After so many take-overs a create is answered ``abandoned``: it may be what kills the clouds. A remove or a status is
#: never given up: what an owner has begun it goes on with anyway, and the others only write something down.
MAX_TAKEOVERS, UNLIMITED_TAKEOVERS = 2, 1 << 30
MAX_EVENTS = 10_000
#: How many lapsed claims are looked at together.
EXPIRED_CLAIMS_PAGE_SIZE = 500
#: Once their payloads come to so many bytes, no more are.
MAX_EXPIRED_PAYLOAD_BYTES = 8 << 20
#: How many answers a cloud remembers by itself, for a Redis that forgets them.
MAX_REMEMBERED_RESPONSES = 10_000


class ClaimResult(StrEnum):
    """What a try to claim a request came to (lua/claim.lua)."""

    CLAIMED = "claimed"
    ABANDONED = "abandoned"
    ANSWERED = "answered"
    HELD = "held"
    CONFLICT = "conflict"


class CommitResult(StrEnum):
    """What a try to answer a request came to (lua/commit.lua)."""

    COMMITTED = "committed"
    ALREADY_COMMITTED = "already"
    CLAIM_LOST = "lost"
    NAME_TAKEN = "named"


@dataclass(frozen=True)
class Claim:
    """The right to answer request ``id`` of ``op``, as long as nobody else's ``token`` stands in Redis.

    ``variant`` sets apart the answer to another payload under an id that was used before (its digest, or empty).
    ``name``: that of the session that is to be created, or empty; it is kept as long as the claim.
    """

    op: str
    id: str
    digest: str
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    variant: str = ""
    name: str = ""

    @classmethod
    def of(cls, session: Session) -> Claim:
        """The one under which the create of a session was, or is to be, answered."""
        return cls("create", session.request, session.digest, session.token)

    @property
    def member(self) -> str:
        """What names the request in ``claims``; one with a variant is never taken over, so its payload is not found."""
        return f"{self.op}+{self.variant}:{self.id}" if self.variant else f"{self.op}:{self.id}"


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An answer and the claim that it was given under, ``at`` (Unix seconds)."""

    claim: Claim
    response: msgspec.Struct
    answered_at: float


@dataclass(frozen=True, slots=True)
class ExpiredClaim:
    """A request whose claim ran out unanswered. ``payload`` is None where it has expired.

    ``ours``: this very cloud had claimed it.
    """

    op: str
    id: str
    payload: bytes | None
    own: bool


class RequestStore:
    """Claims and answers, as made by cloud ``cloud``. ``remember`` is how long (s) ended sessions are kept."""

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
        """Try to claim a request; ``payload`` is kept for whoever has to take over. ``ours``: its session is ours.

        Where it is answered also how long ago (s) that was. After ``fresh_until`` (monotonic seconds) it counts as held
        up: what was refused meanwhile is not begun anew for it. After ``known_until`` its answer may have been given
        and forgotten, so that it is left alone; who still waits asks again.
        """
        who = (claim.member, claim.token, self._node, claim.digest)
        max_takeovers = MAX_TAKEOVERS if claim.op == CreateRequest.op else UNLIMITED_TAKEOVERS
        args = (*who, payload, LEASE, RESPONSE_TTL, max_takeovers, self._pipeline.run_id, int(own_session))
        keys = self._claim_keys(claim)
        for held_up, until in ((0, min(fresh_until, valid_until)), (1, valid_until)):
            with suppress(DeadlineExceeded):
                result, age = self._pipeline.eval_script(self._claim_script, keys, (*args, held_up), deadline=until)
                return ClaimResult(result.decode()), age / 1000
        return ClaimResult.HELD, 0.0

    def renew(self, claims: Iterable[Claim]) -> list[Claim]:
        """Keep claims for another lease; those that are still ours."""
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
        """Give a claim back: somebody else may carry it out."""
        self._pipeline.eval_script(self._release_script, self._claim_keys(claim), (claim.member, claim.token))

    def are_claimed(self, requests: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each request (op and id) is claimed or answered, for longer than a passing refusal lasts."""
        keys = [self._request_key(*request) for request in requests]
        return [found == 1 for found in self._pipeline.eval_script(self._are_claimed_script, keys, ())]

    def expired_claims(self) -> list[ExpiredClaim]:
        """Requests that nobody finished: a page of them, the next one the next time, and all over again.

        No more than memory has room for: the rest is found when somebody has claimed these.
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
        # A create that another cloud claimed in an earlier run of Redis is not for us (lua/claim.lua).
        found, bytes_left = list[tuple[tuple[str, str], bool]](), MAX_EXPIRED_PAYLOAD_BYTES
        for request, (holder, holder_run), size in zip(requests, holders, sizes, strict=True):
            if bytes_left > 0 and (holder in (None, own) or holder_run == run or request[0] != CreateRequest.op):
                found.append((request, holder == own))
                bytes_left -= size
        payloads = self._pipeline.execute_many(
            [("HGET", self._request_key(*request), "payload") for request, _ours in found]
        )
        return [ExpiredClaim(*r, payload, ours) for (r, ours), payload in zip(found, payloads, strict=True)]

    def delete_expired_claim(self, op: str, request_id: str) -> None:
        """A claim whose request has expired: nobody can carry it out any more."""
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
        """Answer a claimed request, and record or erase a session with it: all of it, or nothing.

        Not after ``until`` (monotonic seconds): the claim may be forgotten by then, and so may whoever took it over.
        """
        retryable_status = retryable and claim.op == StatusRequest.op  # it changes nothing, so it may be asked again
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
        except DeadlineExceeded:  # or it was sent before, and the connection broke over it
            return (
                CommitResult.ALREADY_COMMITTED
                if record and self._pipeline.execute("EXISTS", keys[2])
                else CommitResult.CLAIM_LOST
            )

    def store_deferred_response(self, claim: Claim, response: msgspec.Struct) -> None:
        """Store the answer to a request that was put off and has been carried out since."""
        args = (claim.member, claim.token, claim.digest, encode(response), RESPONSE_TTL)
        self._pipeline.eval_script(self._store_deferred_response_script, self._claim_keys(claim), args)

    def replay(self, claim: Claim, min_interval: float) -> None:
        """Publish the stored answer again, unless that was done within ``quiet`` seconds."""
        channel = self._keys.response_channel(claim.op, claim.id)
        self._pipeline.eval_script(
            self._replay_script, self._claim_keys(claim)[:1], (channel, int(min_interval * 1000))
        )

    def publish_response(
        self, op: str, request_id: str, response: msgspec.Struct, *, max_age: float | None = None
    ) -> None:
        """Publish an owner's answer, without a claim; not at all where it cannot leave within ``valid`` seconds."""
        self._pipeline.send("PUBLISH", self._keys.response_channel(op, request_id), encode(response), max_age=max_age)

    def restore_responses(self, responses: Iterable[tuple[Claim, msgspec.Struct]]) -> None:
        """Write answers, each with the claim that it was given under, where Redis has forgotten them."""
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
