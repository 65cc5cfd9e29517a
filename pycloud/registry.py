"""What clouds share in Redis: claims and answers of requests, the sessions, the clouds, the events.

The keys are described atop the Lua scripts in ``lua/`` and in docs/protocol.md. Redis is never the only place that
knows of a session: ``announce`` writes a cloud's part again. Everything here may be repeated without harm.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files
from itertools import islice
from typing import TypeVar

import msgspec

from pycloud.answers import create_response
from pycloud.bus import Argument, Bus, Command, Script
from pycloud.messages import Event, Rank, encode
from pycloud.names import Names
from pycloud.sessions import Session

T = TypeVar("T")

#: Milliseconds that a claim lasts unless it is renewed, and that an answer is remembered.
LEASE = 5_000
ANSWER_LIFE = 600_000
#: Milliseconds that an answer is replayed which says that something cannot be done just now.
PASSING_LIFE = 5_000
#: After so many take-overs a request is answered ``abandoned``: it may be what kills the clouds.
MOST_TAKE_OVERS = 2
#: Milliseconds that a session's record lives; its cloud writes it again long before.
RECORD_LIFE = 86_400_000
MOST_EVENTS = 10_000
#: How many sessions are announced with one call.
PAGE = 500
#: A cloud's record outlives so many heartbeats.
HEARTBEATS_REMEMBERED = 3


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


@dataclass(frozen=True)
class Claim:
    """The right to answer request ``id`` of ``op``, as long as nobody else's ``token`` stands in Redis.

    ``variant`` sets apart the answer to another payload under an id that was used before (its digest, or empty).
    """

    op: str
    id: str
    digest: str
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    variant: str = ""

    @property
    def member(self) -> str:
        """What names the request in ``claims``; one with a variant is never taken over, so its payload is not found."""
        return f"{self.op}+{self.variant}:{self.id}" if self.variant else f"{self.op}:{self.id}"


def _script(name: str) -> Script:
    return Script(files("pycloud").joinpath("lua", f"{name}.lua").read_text())


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    """The items, PAGE at a time: other callers get their turn in between."""
    rest = iter(items)
    while page := list(islice(rest, PAGE)):
        yield page


def record_of(session: Session) -> list[str]:
    """A session as the fields and values of its hash; what is not valid in its state is left out."""
    fields = {
        "cloud": session.cloud,
        "state": session.state.value,
        "host": session.host,
        "port": session.port,
        "created": session.created,
        "started": session.started,
        "ended": session.ended,
        "exit_code": session.exit_code,
        "reason": session.reason,
        "request": session.request,
        "runtime": session.runtime,
    }
    return [str(part) for pair in fields.items() if pair[1] is not None for part in pair]


class Registry:
    """The shared records, as seen by cloud ``cloud``. ``remember`` is how long (s) ended sessions are kept."""

    def __init__(self, bus: Bus, names: Names, cloud: str, remember: float) -> None:
        self._bus, self._names, self._cloud, self._remember = bus, names, cloud, remember
        self._claim = _script("claim")
        self._renew = _script("renew")
        self._commit = _script("commit")
        self._restore = _script("restore")
        self._lapsed = _script("lapsed")

    def claim(self, claim: Claim, payload: bytes) -> tuple[Verdict, bytes]:
        """Try to claim a request; ``payload`` is kept for whoever has to take over. The bytes: a stored response."""
        args = (claim.member, claim.token, self._cloud, claim.digest, payload, LEASE, ANSWER_LIFE, MOST_TAKE_OVERS)
        verdict, detail = self._bus.run(self._claim, self._claim_keys(claim), args)
        return Verdict(verdict.decode()), detail

    def renew(self, claims: Iterable[Claim]) -> None:
        """Keep claims for another lease, as far as they are still ours."""
        for page in _pages(claims):
            runs = [(self._claim_keys(claim), (claim.member, claim.token, LEASE, ANSWER_LIFE)) for claim in page]
            self._bus.run_many(self._renew, runs)

    def lapsed(self) -> list[tuple[str, str, bytes | None]]:
        """Requests that nobody finished: op, id and payload (None where it has expired)."""
        members = [bytes(member).decode() for member in self._bus.run(self._lapsed, [self._names.claims_key], [PAGE])]
        requests = [member.partition(":")[::2] for member in members]
        payloads = self._bus.call_many([("HGET", self._names.request_key(*request), "payload") for request in requests])
        return [(op, id_, payload) for (op, id_), payload in zip(requests, payloads, strict=True)]

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
    ) -> Outcome:
        """Answer a claimed request, and record or erase a session with it: all of it, or nothing."""
        session, change = (record, "record") if record else (erase, "erase") if erase else (None, "none")
        args: list[Argument] = [
            *(claim.member, claim.token, claim.digest, encode(response)),
            *(PASSING_LIFE if passing else ANSWER_LIFE, self._names.response_channel(claim.op, claim.id)),
            *(change, session.id if session else "", session.created if session else 0),
            self._record_life(session) if session else 0,
            *(encode(event) if event else b"", self._names.events_channel, MOST_EVENTS),
        ]
        keys = [*self._claim_keys(claim), *self._session_keys(session.id if session else ""), self._names.events_key]
        args.extend(record_of(record) if record else ())
        return Outcome(self._bus.run(self._commit, keys, args).decode())

    def replay(self, claim: Claim, response: bytes) -> None:
        """Publish an answer again."""
        self._bus.post("PUBLISH", self._names.response_channel(claim.op, claim.id), response)

    def answer(self, op: str, request_id: str, response: msgspec.Struct) -> None:
        """Publish an owner's answer, without a claim."""
        self._bus.post("PUBLISH", self._names.response_channel(op, request_id), encode(response))

    def announce(self, sessions: Iterable[Session]) -> None:
        """Write what is known of these sessions, whatever Redis knows."""
        for page in _pages(sessions):
            self._bus.call_many([command for session in page for command in self._announcement(session)])

    def restore(self, answered: Iterable[tuple[Session, str]]) -> None:
        """Write the answered creates of living sessions (and the token each was answered under) where forgotten."""
        for page in _pages(answered):
            self._bus.run_many(self._restore, [self._restoration(session, token) for session, token in page])

    def erase(self, session: str) -> None:
        """Delete what Redis knows of one of this cloud's sessions."""
        record, sessions, own = self._session_keys(session)
        self._bus.call_many([("DEL", record), ("ZREM", sessions, session), ("SREM", own, session)])

    def recorded(self) -> set[str]:
        """The sessions that Redis thinks this cloud has."""
        return {member.decode() for member in self._bus.call("SMEMBERS", self._names.cloud_sessions_key(self._cloud))}

    def lives(self, cloud: str) -> bool:
        """True while that cloud's heartbeat is heard by Redis."""
        return bool(self._bus.call("EXISTS", self._names.cloud_key(cloud)))

    def beat(self, rank: Rank) -> None:
        """Say that this cloud lives, and how loaded it is."""
        payload, life = encode(rank), int(rank.heartbeat * HEARTBEATS_REMEMBERED * 1000)
        self._bus.post("SET", self._names.cloud_key(self._cloud), payload, "PX", life)
        self._bus.post("ZADD", self._names.clouds_key, rank.time, self._cloud)
        self._bus.post("PUBLISH", self._names.rank_channel, payload)

    def leave(self) -> None:
        """This cloud stops: requesters see at once that it is gone."""
        self._bus.post("DEL", self._names.cloud_key(self._cloud))

    def tell(self, event: Event) -> None:
        """Say what happened."""
        payload = encode(event)
        self._bus.post("XADD", self._names.events_key, "MAXLEN", "~", MOST_EVENTS, "*", "event", payload)
        self._bus.post("PUBLISH", self._names.events_channel, payload)

    def _claim_keys(self, claim: Claim) -> list[str]:
        request = self._names.request_key(claim.op, claim.id)
        return [f"{request}:{claim.variant}" if claim.variant else request, self._names.claims_key]

    def _session_keys(self, session: str) -> list[str]:
        names = self._names
        return [names.session_key(session), names.sessions_key, names.cloud_sessions_key(self._cloud)]

    def _record_life(self, session: Session) -> int:
        """Milliseconds; at least one, because Redis deletes what has none left at once."""
        if session.ended is None:
            return RECORD_LIFE
        return max(1, int(self._remember * 1000))

    def _restoration(self, session: Session, token: str) -> tuple[list[str], list[Argument]]:
        response = encode(create_response(session))
        return [self._names.request_key("create", session.request)], [token, session.digest, response, ANSWER_LIFE]

    def _announcement(self, session: Session) -> list[Command]:
        record, sessions, own = self._session_keys(session.id)
        return [
            ("HSET", record, *record_of(session)),
            ("PEXPIRE", record, self._record_life(session)),
            ("ZADD", sessions, session.created, session.id),
            ("SADD", own, session.id),
        ]
