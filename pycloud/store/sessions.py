"""What clouds share in Redis beside claims: the sessions, the clouds, the events, and wishes for clouds that are away.

The keys are listed in docs/protocol.md. Redis is never the only place that knows of a session: ``announce`` writes a
cloud's part again. Everything here may be repeated without harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from pycloud.protocol.decoding import DecodeError, decode_rank
from pycloud.protocol.keys import Names, owner_of
from pycloud.protocol.messages import HEARTBEATS_MISSED, Event, Rank, encode
from pycloud.protocol.session import LIVE, Session, State
from pycloud.store.records import RECORD_LIFE, record_life, record_of
from pycloud.store.requests import MOST_EVENTS
from pycloud.store.scripts import load_script
from pycloud.store.session_names import SessionNames
from pycloud.transport.paging import START, Place, limits, page_of
from pycloud.transport.pipeline import Bus, Command, pages

#: How many members of an index are read at once, and seconds after which a silent cloud is taken out of its index.
PAGE, CLOUD_LIFE = 500, 7 * 86_400


class Wish(msgspec.Struct, frozen=True):
    """A remove that its session's cloud could not be asked for: the request's id and digest, to answer it by."""

    session: str
    id: str
    digest: str


class Lost(NamedTuple):
    """A session that was marked as lost; its name, and its labels as JSON (both may be empty)."""

    session: str
    name: bytes
    labels: bytes


class Change(NamedTuple):
    """What writing a session's record changed: the state that stood there (a word of some version), and the new one."""

    session: Session
    before: str
    after: State


class Registry:
    """The shared records, as seen by cloud ``cloud``. ``remember`` is how long (s) ended sessions are kept."""

    def __init__(self, bus: Bus, names: Names, cloud: str, remember: float) -> None:
        self._bus, self._names, self._cloud, self._remember = bus, names, cloud, remember
        self.session_names = SessionNames(bus, names, remember)
        self._lose = load_script("lose")

    def announce(self, sessions: Iterable[Session]) -> list[Change]:
        """Write what is known of these sessions, whatever Redis knows; where it had known another state."""
        changes: list[Change] = []
        for page in pages(sessions):
            if self.session_names.keep(page):  # what was removed meanwhile must not be written again
                page = [session for session in page if session.state is not State.REMOVED]
            states = [session.state for session in page]
            commands = [command for session in page for command in self._announcement(session)]
            replies = self._bus.call_many(commands)[:: len(commands) // max(1, len(page)) or 1]
            before = [None if state is None else state.decode() for state in replies]
            found = zip(page, before, states, strict=True)
            changes += [Change(session, was, now) for session, was, now in found if was not in (None, now)]
        return changes

    def erase(self, session: Session) -> str | None:
        """Delete what Redis knows of one of this cloud's sessions; the state that stood there, None where none did."""
        self.session_names.release(session)
        return self._erase(session.id)

    def erase_unknown(self, session: str) -> None:
        """Delete what Redis knows of a session that should be this cloud's, and is not."""
        if name := self.session(session).get("name"):
            self.session_names.give_up(session, name)
        self._erase(session)

    def _erase(self, session: str) -> str | None:
        record, sessions, own = self._names.session_keys(session, self._cloud)
        commands = [("HGET", record, "state"), ("DEL", record), ("ZREM", sessions, session), ("SREM", own, session)]
        state = self._bus.call_many(commands)[0]
        return None if state is None else str(state.decode())

    def counted_lost(self, sessions: Iterable[str]) -> set[str]:
        """Those of these sessions that are recorded as lost."""
        lost: set[str] = set()
        for page in pages(sessions):
            states = self._bus.call_many([("HGET", self._names.session_key(session), "state") for session in page])
            lost |= {session for session, state in zip(page, states, strict=True) if state == State.LOST.encode()}
        return lost

    def recorded(self) -> set[str]:
        """The sessions that Redis thinks this cloud has."""
        return {member.decode() for member in self._bus.call("SMEMBERS", self._names.cloud_sessions_key(self._cloud))}

    def forgotten(self) -> bool:
        """Whether Redis knows of no session of this cloud."""
        return not self._bus.call("EXISTS", self._names.cloud_sessions_key(self._cloud))

    def session(self, session: str) -> dict[str, str]:
        """The record of any cloud's session; empty where there is none."""
        flat = self._bus.call("HGETALL", self._names.session_key(session))
        return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}

    def holds_request(self, request: str) -> bool:
        """Whether any session on record was made by this create. Reads all records."""
        for page in self._all_sessions():
            found = self._bus.call_many([("HGET", self._names.session_key(session), "request") for session in page])
            if request.encode() in found:
                return True
        return False

    def last_beat(self) -> float | None:
        """When this cloud was last heard of (Unix seconds), as far as Redis knows."""
        score = self._bus.call("ZSCORE", self._names.clouds_key, self._cloud)
        return None if score is None else float(score)

    def clouds(self) -> list[str]:
        """The ids of all clouds that were heard of in the last days."""
        return [member.decode() for member in self._bus.call("ZRANGE", self._names.clouds_key, 0, -1)]

    def ranks(self) -> list[bytes]:
        """The last rank of every cloud that lives, as published."""
        clouds = self.clouds()
        found = self._bus.call("MGET", *map(self._names.cloud_key, clouds)) if clouds else []
        return [rank for rank in found if rank is not None]

    def own_rank(self) -> Rank | None:
        """What somebody last said under our own id, while that has not expired; None also where it makes no sense."""
        found = self._bus.call("GET", self._names.cloud_key(self._cloud))
        try:
            return None if found is None else decode_rank(found)
        except DecodeError:
            return None

    def hand_over(self, op: str, payload: bytes, cloud: str) -> None:
        """Ask another cloud directly for what was published for all."""
        keys = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        direct = msgspec.json.encode({**keys, "op": op})
        self._bus.post("PUBLISH", self._names.cloud_channel(cloud), direct)

    def beat(self, rank: Rank) -> None:
        """Say that this cloud lives, and how loaded it is."""
        self._bus.post(*self._rank_command(rank))
        self._bus.post("ZADD", self._names.clouds_key, rank.time, self._cloud)
        self._bus.post("PUBLISH", self._names.rank_channel, encode(rank))

    def appear(self, rank: Rank) -> None:
        """Say to Redis alone that this cloud lives: from here on nobody marks its sessions as lost."""
        self._bus.call(*self._rank_command(rank))

    def leave(self) -> None:
        """This cloud stops: requesters see at once that it is gone."""
        self._bus.post("DEL", self._names.cloud_key(self._cloud))

    def tell(self, event: Event) -> None:
        """Say what happened."""
        payload = encode(event)
        self._bus.post("XADD", self._names.events_key, "MAXLEN", "~", MOST_EVENTS, "*", "event", payload)
        self._bus.post("PUBLISH", self._names.events_channel, payload)

    def tell_progress(self, event: Event, request_id: str) -> None:
        """Say how far a create has come, to all and to its requester; the stream does not keep it."""
        payload = encode(event)
        self._bus.post("PUBLISH", self._names.events_channel, payload)
        self._bus.post("PUBLISH", self._names.progress_channel(request_id), payload)

    def wish(self, cloud: str, wish: Wish) -> None:
        """Have a session removed by its cloud, as soon as that is back."""
        key = self._names.wishes_key(cloud)
        self._bus.call_many([("SADD", key, encode(wish)), ("PEXPIRE", key, RECORD_LIFE)])

    def wishes(self) -> list[Wish]:
        """What this cloud was to remove while it was away."""
        members = self._bus.call("SMEMBERS", self._names.wishes_key(self._cloud))
        return [msgspec.json.decode(member, type=Wish) for member in members]

    def is_wished(self, cloud: str, wish: Wish) -> bool:
        """Whether a wish waits for its cloud."""
        return bool(self._bus.call("SISMEMBER", self._names.wishes_key(cloud), encode(wish)))

    def fulfilled(self, wish: Wish) -> None:
        """A wish has been carried out."""
        self._bus.call("SREM", self._names.wishes_key(self._cloud), encode(wish))

    def mark_lost(self, cloud: str) -> list[Lost]:
        """Mark the living sessions of a cloud as lost, unless it is back; those that were marked now."""
        members = self._bus.call("SMEMBERS", self._names.cloud_sessions_key(cloud))
        sessions, marked = [member.decode() for member in members], list[Lost]()
        states = [State.LOST.value, *sorted(LIVE)]
        for page in pages(sessions):
            keys = [[self._names.cloud_key(cloud), self._names.session_key(session)] for session in page]
            results = self._bus.run_many(self._lose, [(each, states) for each in keys])
            marked += [Lost(session, *known) for session, known in zip(page, results, strict=True) if known]
        return marked

    def sweep(self, now: float) -> None:
        """Take out of the indexes what has expired. ``now``: Unix seconds."""
        gone = [session for page in self._all_sessions() for session in self._without_record(page)]
        for session in gone:
            _record, sessions, own = self._names.session_keys(session, owner_of(session) or self._cloud)
            self._bus.call_many([("ZREM", sessions, session), ("SREM", own, session)])
        self._bus.call("ZREMRANGEBYSCORE", self._names.clouds_key, "-inf", now - CLOUD_LIFE)

    def _without_record(self, sessions: list[str]) -> list[str]:
        """Those of these sessions whose records have expired: usually none, which a single question tells."""
        keys = [self._names.session_key(session) for session in sessions]
        if not keys or self._bus.call("EXISTS", *keys) == len(keys):
            return []
        there = self._bus.call_many([("EXISTS", key) for key in keys])
        return [session for session, exists in zip(sessions, there, strict=True) if not exists]

    def _announcement(self, session: Session) -> list[Command]:
        record, sessions, own = self._names.session_keys(session.id, self._cloud)
        return [
            ("HGET", record, "state"),
            ("HSET", record, *record_of(session)),
            ("PEXPIRE", record, record_life(session, self._remember)),
            ("ZADD", sessions, session.created, session.id),
            ("SADD", own, session.id),
            ("PEXPIRE", own, RECORD_LIFE),
        ]

    def _rank_command(self, rank: Rank) -> Command:
        life = int(rank.heartbeat * HEARTBEATS_MISSED * 1000)
        return "SET", self._names.cloud_key(self._cloud), encode(rank), "PX", life

    def _all_sessions(self) -> Iterator[list[str]]:
        """The index of all sessions, page by page."""
        place: Place | None = START
        while place is not None:
            lowest, most = limits(place, PAGE)
            reply = self._bus.call(
                "ZRANGEBYSCORE", self._names.sessions_key, lowest, "+inf", "WITHSCORES", "LIMIT", 0, most
            )
            page, place = page_of(reply, place, PAGE)
            yield page
