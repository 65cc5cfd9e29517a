"""Shared state in Redis beside claims: sessions, nodes, events, and pending removals for offline nodes.

The keys are listed in docs/protocol.md. Redis is never the only copy of a session: ``write_records`` writes a node's
part again. Every operation here may be repeated without harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from pycloud.protocol.decoding import DecodeError, decode_heartbeat
from pycloud.protocol.keys import Keys, owner_of
from pycloud.protocol.messages import HEARTBEATS_MISSED, Event, Heartbeat, encode
from pycloud.protocol.session import LIVE, Session, State
from pycloud.store.records import RECORD_TTL, record_of, record_ttl
from pycloud.store.requests import MAX_EVENTS
from pycloud.store.scripts import load_script
from pycloud.store.session_names import NameReservations
from pycloud.transport.paging import START, Cursor, page_limits, parse_page
from pycloud.transport.pipeline import RedisCommand, RedisPipeline, chunked

#: Members of an index per read, and seconds after which a node without heartbeats is removed from its index.
PAGE_SIZE, NODE_RETENTION = 500, 7 * 86_400


class PendingRemoval(msgspec.Struct, frozen=True):
    """A remove for a session whose node is offline: the request's id and digest, to answer it."""

    session: str
    id: str
    digest: str


class LostSession(NamedTuple):
    """A session that was marked as lost; its name, and its labels as JSON (both may be empty)."""

    session: str
    name: bytes
    labels: bytes


class StateChange(NamedTuple):
    """A change made by writing a session's record: the former state (a word of any version), and the new one."""

    session: Session
    before: str
    after: State


class SessionStore:
    """The shared records, as used by node ``node``. ``retention``: seconds for which ended sessions are kept."""

    def __init__(self, pipeline: RedisPipeline, keys: Keys, node: str, retention: float) -> None:
        self._pipeline, self._keys, self._node, self._retention = pipeline, keys, node, retention
        self.name_reservations = NameReservations(pipeline, keys, retention)
        self._mark_lost_script = load_script("mark_lost")

    def write_records(self, sessions: Iterable[Session]) -> list[StateChange]:
        """Write the records of these sessions; returns the changes to states that Redis had."""
        changes: list[StateChange] = []
        for page in chunked(sessions):
            if self.name_reservations.renew(page):  # a session that was removed meanwhile must not be written again
                page = [session for session in page if session.state is not State.REMOVED]
            states = [session.state for session in page]
            commands = [command for session in page for command in self._record_commands(session)]
            replies = self._pipeline.execute_many(commands)[:: len(commands) // max(1, len(page)) or 1]
            before = [None if state is None else state.decode() for state in replies]
            found = zip(page, before, states, strict=True)
            changes += [StateChange(session, was, now) for session, was, now in found if was not in (None, now)]
        return changes

    def erase(self, session: Session) -> str | None:
        """Delete the record of one of this node's sessions; returns its former state, None without a record."""
        self.name_reservations.release(session)
        return self._erase(session.id)

    def erase_unknown(self, session: str) -> None:
        """Delete the record of a session that has this node's id but is unknown to it."""
        if name := self.get_record(session).get("name"):
            self.name_reservations.release_for_offline_owner(session, name)
        self._erase(session)

    def _erase(self, session: str) -> str | None:
        record, sessions, own = self._keys.session_keys(session, self._node)
        commands = [("HGET", record, "state"), ("DEL", record), ("ZREM", sessions, session), ("SREM", own, session)]
        state = self._pipeline.execute_many(commands)[0]
        return None if state is None else str(state.decode())

    def filter_lost(self, sessions: Iterable[str]) -> set[str]:
        """Those of these sessions that are recorded as lost."""
        lost: set[str] = set()
        for page in chunked(sessions):
            states = self._pipeline.execute_many(
                [("HGET", self._keys.session_key(session), "state") for session in page]
            )
            lost |= {session for session, state in zip(page, states, strict=True) if state == State.LOST.encode()}
        return lost

    def recorded_session_ids(self) -> set[str]:
        """The ids of this node's sessions on record."""
        return {
            member.decode() for member in self._pipeline.execute("SMEMBERS", self._keys.node_sessions_key(self._node))
        }

    def is_empty(self) -> bool:
        """Whether Redis has no session of this node on record."""
        return not self._pipeline.execute("EXISTS", self._keys.node_sessions_key(self._node))

    def get_record(self, session: str) -> dict[str, str]:
        """The record of any node's session; empty where there is none."""
        flat = self._pipeline.execute("HGETALL", self._keys.session_key(session))
        return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}

    def has_request(self, request: str) -> bool:
        """Whether any session on record was made by this create. Reads all records."""
        for page in self._all_sessions():
            found = self._pipeline.execute_many(
                [("HGET", self._keys.session_key(session), "request") for session in page]
            )
            if request.encode() in found:
                return True
        return False

    def last_heartbeat_at(self) -> float | None:
        """The time of this node's last heartbeat (Unix seconds); None where Redis has none."""
        score = self._pipeline.execute("ZSCORE", self._keys.nodes_key, self._node)
        return None if score is None else float(score)

    def node_ids(self) -> list[str]:
        """The ids of all nodes in the index, which holds those with a heartbeat within NODE_RETENTION seconds."""
        return [member.decode() for member in self._pipeline.execute("ZRANGE", self._keys.nodes_key, 0, -1)]

    def heartbeats(self) -> list[bytes]:
        """The last heartbeat of every online node, as published."""
        nodes = self.node_ids()
        found = self._pipeline.execute("MGET", *map(self._keys.node_key, nodes)) if nodes else []
        return [heartbeat for heartbeat in found if heartbeat is not None]

    def own_heartbeat(self) -> Heartbeat | None:
        """The last heartbeat under this node's id, until it expires; None also where it cannot be decoded."""
        found = self._pipeline.execute("GET", self._keys.node_key(self._node))
        try:
            return None if found is None else decode_heartbeat(found)
        except DecodeError:
            return None

    def forward(self, op: str, payload: bytes, node: str) -> None:
        """Send a broadcast request to another node's direct channel."""
        keys = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        direct = msgspec.json.encode({**keys, "op": op})
        self._pipeline.send("PUBLISH", self._keys.node_channel(node), direct)

    def publish_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Publish this node's heartbeat, and write it to Redis."""
        self._pipeline.send(*self._heartbeat_command(heartbeat))
        self._pipeline.send("ZADD", self._keys.nodes_key, heartbeat.time, self._node)
        self._pipeline.send("PUBLISH", self._keys.heartbeat_channel, encode(heartbeat))

    def write_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Write this node's heartbeat to Redis only: from then on its sessions are not marked as lost."""
        self._pipeline.execute(*self._heartbeat_command(heartbeat))

    def delete_heartbeat(self) -> None:
        """Delete this node's heartbeat at shutdown: requesters see at once that it is gone."""
        self._pipeline.send("DEL", self._keys.node_key(self._node))

    def publish_event(self, event: Event) -> None:
        """Publish an event, and append it to the stream."""
        payload = encode(event)
        self._pipeline.send("XADD", self._keys.events_key, "MAXLEN", "~", MAX_EVENTS, "*", "event", payload)
        self._pipeline.send("PUBLISH", self._keys.events_channel, payload)

    def publish_progress(self, event: Event, request_id: str) -> None:
        """Publish the progress of a create, to all and to its requester; it is not added to the stream."""
        payload = encode(event)
        self._pipeline.send("PUBLISH", self._keys.events_channel, payload)
        self._pipeline.send("PUBLISH", self._keys.progress_channel(request_id), payload)

    def add_pending_removal(self, node: str, removal: PendingRemoval) -> None:
        """Record a removal that the session's node carries out as soon as it is back."""
        key = self._keys.pending_removals_key(node)
        self._pipeline.execute_many([("SADD", key, encode(removal)), ("PEXPIRE", key, RECORD_TTL)])

    def list_pending_removals(self) -> list[PendingRemoval]:
        """The removals recorded while this node was offline."""
        members = self._pipeline.execute("SMEMBERS", self._keys.pending_removals_key(self._node))
        return [msgspec.json.decode(member, type=PendingRemoval) for member in members]

    def has_pending_removal(self, node: str, removal: PendingRemoval) -> bool:
        """Whether this removal is recorded for its node."""
        return bool(self._pipeline.execute("SISMEMBER", self._keys.pending_removals_key(node), encode(removal)))

    def delete_pending_removal(self, removal: PendingRemoval) -> None:
        """Delete a removal that has been carried out."""
        self._pipeline.execute("SREM", self._keys.pending_removals_key(self._node), encode(removal))

    def mark_lost(self, node: str) -> list[LostSession]:
        """Mark the live sessions of a node as lost, unless it is back; returns those that were marked now."""
        members = self._pipeline.execute("SMEMBERS", self._keys.node_sessions_key(node))
        sessions, marked = [member.decode() for member in members], list[LostSession]()
        states = [State.LOST.value, *sorted(LIVE)]
        for page in chunked(sessions):
            keys = [[self._keys.node_key(node), self._keys.session_key(session)] for session in page]
            results = self._pipeline.eval_scripts(self._mark_lost_script, [(each, states) for each in keys])
            marked += [LostSession(session, *known) for session, known in zip(page, results, strict=True) if known]
        return marked

    def prune_indexes(self, now: float) -> None:
        """Remove expired members from the indexes. ``now``: Unix seconds."""
        expired = [session for page in self._all_sessions() for session in self._without_record(page)]
        for session in expired:
            _record, sessions, own = self._keys.session_keys(session, owner_of(session) or self._node)
            self._pipeline.execute_many([("ZREM", sessions, session), ("SREM", own, session)])
        self._pipeline.execute("ZREMRANGEBYSCORE", self._keys.nodes_key, "-inf", now - NODE_RETENTION)

    def _without_record(self, sessions: list[str]) -> list[str]:
        """Those of these sessions whose records have expired: usually none, which a single command determines."""
        keys = [self._keys.session_key(session) for session in sessions]
        if not keys or self._pipeline.execute("EXISTS", *keys) == len(keys):
            return []
        existing = self._pipeline.execute_many([("EXISTS", key) for key in keys])
        return [session for session, exists in zip(sessions, existing, strict=True) if not exists]

    def _record_commands(self, session: Session) -> list[RedisCommand]:
        record, sessions, own = self._keys.session_keys(session.id, self._node)
        return [
            ("HGET", record, "state"),
            ("HSET", record, *record_of(session)),
            ("PEXPIRE", record, record_ttl(session, self._retention)),
            ("ZADD", sessions, session.created, session.id),
            ("SADD", own, session.id),
            ("PEXPIRE", own, RECORD_TTL),
        ]

    def _heartbeat_command(self, heartbeat: Heartbeat) -> RedisCommand:
        ttl = int(heartbeat.heartbeat * HEARTBEATS_MISSED * 1000)
        return "SET", self._keys.node_key(self._node), encode(heartbeat), "PX", ttl

    def _all_sessions(self) -> Iterator[list[str]]:
        """The index of all sessions, page by page."""
        cursor: Cursor | None = START
        while cursor is not None:
            lowest, most = page_limits(cursor, PAGE_SIZE)
            reply = self._pipeline.execute(
                "ZRANGEBYSCORE", self._keys.sessions_key, lowest, "+inf", "WITHSCORES", "LIMIT", 0, most
            )
            page, cursor = parse_page(reply, cursor, PAGE_SIZE)
            yield page
