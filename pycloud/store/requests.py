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

from pycloud.protocol.keys import Names
from pycloud.protocol.messages import CreateRequest, Event, StatusRequest, encode
from pycloud.protocol.session import Session
from pycloud.store.records import record_life, record_of
from pycloud.store.scripts import load_script
from pycloud.transport.paging import START, limits, page_of
from pycloud.transport.pipeline import Argument, Bus, TooLate, pages

#: Milliseconds that a claim lasts unless it is renewed, and that an answer is remembered.
LEASE = 5_000
ANSWER_LIFE = 600_000
#: Seconds for which a claim and its answer are surely remembered.
KNOWN = 0.9 * ANSWER_LIFE / 1000
#: Milliseconds that an answer is replayed which says that something cannot be done just now.
PASSING_LIFE = 5_000
#: Milliseconds that an answer to a status is remembered: who hears the status late finds it answered.
STATUS_LIFE = 8_000
#: Milliseconds for which a name is kept for a session that is being started, unless the claim of its create is renewed:
#: long enough for somebody else to take that over.
NAME_LEASE = 3 * LEASE
#: After so many take-overs a create is answered ``abandoned``: it may be what kills the clouds. A remove or a status is
#: never given up: what an owner has begun it goes on with anyway, and the others only write something down.
MOST_TAKE_OVERS, ANY_TAKE_OVERS = 2, 1 << 30
MOST_EVENTS = 10_000
#: How many lapsed claims are looked at together.
MOST_LAPSED = 500
#: Once their payloads come to so many bytes, no more are.
MOST_LAPSED_BYTES = 8 << 20
#: How many answers a cloud remembers by itself, for a Redis that forgets them.
MOST_REMEMBERED = 10_000


class Verdict(StrEnum):
    """What a try to claim a request came to (lua/claim.lua)."""

    CLAIMED = "claimed"
    ABANDONED = "abandoned"
    ANSWERED = "answered"
    HELD = "held"
    CONFLICT = "conflict"


class Outcome(StrEnum):
    """What a try to answer a request came to (lua/commit.lua)."""

    COMMITTED = "committed"
    ALREADY = "already"
    LOST = "lost"
    NAMED = "named"


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
class Given:
    """An answer and the claim that it was given under, ``at`` (Unix seconds)."""

    claim: Claim
    response: msgspec.Struct
    at: float


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A request whose claim ran out unanswered. ``payload`` is None where it has expired.

    ``ours``: this very cloud had claimed it.
    """

    op: str
    id: str
    payload: bytes | None
    ours: bool


class Ledger:
    """Claims and answers, as made by cloud ``cloud``. ``remember`` is how long (s) ended sessions are kept."""

    def __init__(self, bus: Bus, names: Names, cloud: str, remember: float) -> None:
        self._bus, self._names, self._cloud, self._remember = bus, names, cloud, remember
        self._claim = load_script("claim")
        self._claimed = load_script("claimed")
        self._renew = load_script("renew")
        self._release = load_script("release")
        self._commit = load_script("commit")
        self._restore = load_script("restore")
        self._lapsed = load_script("lapsed")
        self._replay = load_script("replay")
        self._grant = load_script("grant")
        self._looked_at = START

    def claim(
        self,
        claim: Claim,
        payload: bytes,
        *,
        ours: bool = False,
        fresh_until: float = float("inf"),
        known_until: float = float("inf"),
    ) -> tuple[Verdict, float]:
        """Try to claim a request; ``payload`` is kept for whoever has to take over. ``ours``: its session is ours.

        Where it is answered also how long ago (s) that was. After ``fresh_until`` (monotonic seconds) it counts as held
        up: what was refused meanwhile is not begun anew for it. After ``known_until`` its answer may have been given
        and forgotten, so that it is left alone; who still waits asks again.
        """
        who = (claim.member, claim.token, self._cloud, claim.digest)
        most = MOST_TAKE_OVERS if claim.op == CreateRequest.op else ANY_TAKE_OVERS
        args = (*who, payload, LEASE, ANSWER_LIFE, most, self._bus.run_id, int(ours))
        keys = self._claim_keys(claim)
        for held_up, until in ((0, min(fresh_until, known_until)), (1, known_until)):
            with suppress(TooLate):
                verdict, age = self._bus.run(self._claim, keys, (*args, held_up), until=until)
                return Verdict(verdict.decode()), age / 1000
        return Verdict.HELD, 0.0

    def renew(self, claims: Iterable[Claim]) -> list[Claim]:
        """Keep claims for another lease; those that are still ours."""
        lives, ours = (LEASE, ANSWER_LIFE, NAME_LEASE, self._bus.run_id), list[Claim]()
        for page in pages(claims):
            runs = [
                ([*self._claim_keys(claim), *self._name_keys(claim.name)], (claim.member, claim.token, *lives))
                for claim in page
            ]
            renewed = self._bus.run_many(self._renew, runs)
            ours += [claim for claim, is_ours in zip(page, renewed, strict=True) if is_ours]
        return ours

    def release(self, claim: Claim) -> None:
        """Give a claim back: somebody else may carry it out."""
        self._bus.run(self._release, self._claim_keys(claim), (claim.member, claim.token))

    def claimed(self, requests: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each request (op and id) is claimed or answered, for longer than a passing refusal lasts."""
        keys = [self._request_key(*request) for request in requests]
        return [found == 1 for found in self._bus.run(self._claimed, keys, ())]

    def lapsed(self) -> list[Lapsed]:
        """Requests that nobody finished: a page of them, the next one the next time, and all over again.

        No more than memory has room for: the rest is found when somebody has claimed these.
        """
        before = self._looked_at
        reply = self._bus.run(self._lapsed, [self._names.claims_key], limits(before, MOST_LAPSED))
        members, after = page_of(reply, before, MOST_LAPSED)
        self._looked_at = after or START
        requests = [member.partition(":")[::2] for member in members]
        keys = [self._request_key(*request) for request in requests]
        held = self._bus.call_many([("HMGET", key, "cloud", "run") for key in keys])
        sizes = self._bus.call_many([("HSTRLEN", key, "payload") for key in keys])
        own, run = self._cloud.encode(), self._bus.run_id.encode()
        # A create that another cloud claimed in an earlier run of Redis is not for us (lua/claim.lua).
        found, room = list[tuple[tuple[str, str], bool]](), MOST_LAPSED_BYTES
        for request, (by, in_), size in zip(requests, held, sizes, strict=True):
            if room > 0 and (by in (None, own) or in_ == run or request[0] != CreateRequest.op):
                found.append((request, by == own))
                room -= size
        payloads = self._bus.call_many([("HGET", self._request_key(*request), "payload") for request, _ours in found])
        return [Lapsed(*r, payload, ours) for (r, ours), payload in zip(found, payloads, strict=True)]

    def forget_claim(self, op: str, request_id: str) -> None:
        """A claim whose request has expired: nobody can carry it out any more."""
        self._bus.call("ZREM", self._names.claims_key, f"{op}:{request_id}")

    def commit(
        self,
        claim: Claim,
        response: msgspec.Struct,
        *,
        passing: bool = False,
        record: Session | None = None,
        erase: Session | None = None,
        event: Event | None = None,
        until: float = float("inf"),
    ) -> Outcome:
        """Answer a claimed request, and record or erase a session with it: all of it, or nothing.

        Not after ``until`` (monotonic seconds): the claim may be forgotten by then, and so may whoever took it over.
        """
        afresh = passing and claim.op == StatusRequest.op  # it changes nothing, so it may be asked again
        session, change = (record, "record") if record else (erase, "erase") if erase else (None, "none")
        args: list[Argument] = [
            *(claim.member, claim.token, claim.digest, encode(response)),
            *(STATUS_LIFE if afresh else ANSWER_LIFE, self._names.response_channel(claim.op, claim.id)),
            *(change, session.id if session else "", session.created if session else 0),
            record_life(session, self._remember) if session else 0,
            *(encode(event) if event else b"", self._names.events_channel, MOST_EVENTS),
            PASSING_LIFE if passing and not afresh else 0,
            "live" if session and session.alive else "ended",
        ]
        keys = [
            *self._claim_keys(claim),
            *self._names.session_keys(session.id if session else "", self._cloud),
            self._names.events_key,
            *self._name_keys(session.name if session else None),
        ]
        args.extend(record_of(record) if record else ())
        try:
            return Outcome(self._bus.run(self._commit, keys, args, until=until).decode())
        except TooLate:  # or it was sent before, and the connection broke over it
            return Outcome.ALREADY if record and self._bus.call("EXISTS", keys[2]) else Outcome.LOST

    def grant(self, claim: Claim, response: msgspec.Struct) -> None:
        """Store the answer to a request that was put off and has been carried out since."""
        args = (claim.member, claim.token, claim.digest, encode(response), ANSWER_LIFE)
        self._bus.run(self._grant, self._claim_keys(claim), args)

    def replay(self, claim: Claim, quiet: float) -> None:
        """Publish the stored answer again, unless that was done within ``quiet`` seconds."""
        channel = self._names.response_channel(claim.op, claim.id)
        self._bus.run(self._replay, self._claim_keys(claim)[:1], (channel, int(quiet * 1000)))

    def answer(self, op: str, request_id: str, response: msgspec.Struct, *, valid: float | None = None) -> None:
        """Publish an owner's answer, without a claim; not at all where it cannot leave within ``valid`` seconds."""
        self._bus.post("PUBLISH", self._names.response_channel(op, request_id), encode(response), valid=valid)

    def restore(self, answered: Iterable[tuple[Claim, msgspec.Struct]]) -> None:
        """Write answers, each with the claim that it was given under, where Redis has forgotten them."""
        for page in pages(answered):
            self._bus.run_many(self._restore, [self._restoration(claim, response) for claim, response in page])

    def _claim_keys(self, claim: Claim) -> list[str]:
        request = self._request_key(claim.op, claim.id)
        return [f"{request}:{claim.variant}" if claim.variant else request, self._names.claims_key]

    def _name_keys(self, name: str | None) -> list[str]:
        return [self._names.name_key(name)] if name else []

    def _restoration(self, claim: Claim, response: msgspec.Struct) -> tuple[list[str], list[Argument]]:
        return self._claim_keys(claim), [claim.member, claim.token, claim.digest, encode(response), ANSWER_LIFE]

    def _request_key(self, op: str, request_id: str) -> str:
        return self._names.request_key(op, request_id)
