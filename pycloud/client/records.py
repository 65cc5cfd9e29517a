"""Records of sessions and nodes in Redis, offline nodes included. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from pycloud.client.deprecated import deprecated_attribute
from pycloud.client.errors import NoCloud, NotFound, UnusableAnswer
from pycloud.protocol.decoding import DecodeError, decode_heartbeat
from pycloud.protocol.keys import Keys, owner_of
from pycloud.protocol.messages import HEARTBEATS_MISSED, Heartbeat, InspectResponse
from pycloud.protocol.session import LIVE
from pycloud.transport.blocking import DeadlineConnection, DeadlineConnectionPool, RedisCommand
from pycloud.transport.paging import START, Cursor, batched, page_limits, parse_page

PAGE_SIZE = 500


class SessionRecord(msgspec.Struct, frozen=True):
    """One session as recorded in Redis: the keys of a status response (``stale``: its node is offline), plus two.

    ``request`` is the id of the create that made it, ``runtime`` its runtime (``script``, ...). Keys that are not valid
    in its state are left out. Times are Unix seconds. ``state`` may be a word of a newer node.
    """

    cloud: str
    id: str
    status: bool
    state: str
    host: str | UnsetType = UNSET
    port: int | UnsetType = UNSET
    ports: dict[str, int] | UnsetType = UNSET
    created: float | UnsetType = UNSET
    started: float | UnsetType = UNSET
    ended: float | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    request: str | UnsetType = UNSET
    runtime: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    stale: bool | UnsetType = UNSET


def parse_record(session: str, fields: Mapping[str, str], *, stale: bool = False) -> SessionRecord:
    """The record from the fields of a session's hash; an empty field counts as absent. ``stale``: its node is offline.

    Raises UnusableAnswer where a field has the wrong type (a port that is not a number).
    """
    present = {name: value for name, value in fields.items() if value}
    state = present.get("state", "")
    row: dict[str, Any] = {"cloud": "", **present, "id": session, "status": state in LIVE, "state": state}
    row.pop("stale", None)
    try:
        if stale:
            row["stale"] = True
        for name in ("ports", "labels"):
            if name in row:
                row[name] = msgspec.json.decode(present[name])
        return msgspec.convert(row, SessionRecord, strict=False)
    except msgspec.DecodeError as error:
        raise UnusableAnswer(f"the record of session {session} in Redis cannot be read: {error}") from error


def record_filter(
    states: Collection[str] = (), labels: Mapping[str, str] | None = None, name: str | None = None
) -> Callable[[SessionRecord], bool]:
    """A predicate for records: in one of these states (empty: any), with these labels and a matching name.

    A record matches where it has all ``labels``, and its name matches the pattern ``name`` (as for files: ``*``, ``?``
    and ``[abc]``).
    """
    required_labels = (labels or {}).items()

    def matches(record: SessionRecord) -> bool:
        return (
            (not states or record.state in states)
            and required_labels <= (record.labels or {}).items()
            and (name is None or (bool(record.name) and fnmatchcase(record.name or "", name)))
        )

    return matches


class RecordReader:
    """Reads the records of one namespace. ``timeout``: seconds that each single read may last."""

    def __init__(self, pool: DeadlineConnectionPool, keys: Keys, timeout: float) -> None:
        self._pool, self._keys, self._timeout = pool, keys, timeout

    def session_ids(self, nodes: Collection[str] = ()) -> Iterator[str]:
        """The ids of all sessions on record, oldest first, read page by page during the iteration.

        ``nodes``: only sessions of these, unless empty.
        """
        for page in self._pages():
            yield from (session for session in page if not nodes or owner_of(session) in nodes)

    def sessions(
        self, nodes: Collection[str] = (), matches: Callable[[SessionRecord], bool] = lambda _record: True
    ) -> Iterator[SessionRecord]:
        """The records of all sessions, oldest first, read page by page during the iteration.

        Sessions that come or go meanwhile may or may not be among them; all others are, once. ``nodes``: only sessions
        of these, unless empty. ``matches``: only records for which it is true.
        """
        for page in batched(self.session_ids(nodes), PAGE_SIZE):
            yield from (record for record in self.records(page) if matches(record))

    def session_names(self) -> Iterator[tuple[str, str]]:
        """The id and name (empty: none) of every session on record, oldest first, read page by page."""
        for page in self._pages():
            replies = self._read(*(("HGET", self._keys.session_key(session), "name") for session in page))
            yield from ((session, (name or b"").decode()) for session, name in zip(page, replies, strict=True))

    def session_ids_by_name(self, names: Sequence[str]) -> dict[str, str]:
        """The ids of the sessions that have these names, or had them last, by name; in one read."""
        replies = self._read(*(("HGET", self._keys.name_key(name), "session") for name in names))
        return {name: reply.decode() for name, reply in zip(names, replies, strict=True) if reply is not None}

    def records(self, sessions: Sequence[str]) -> Iterator[SessionRecord]:
        """The records of these sessions; sessions without a record are left out."""
        owner_of_each = [owner_of(session) for session in sessions]
        owners = sorted(set(filter(None, owner_of_each)))
        replies = self._read(
            *(("EXISTS", self._keys.node_key(owner)) for owner in owners),
            *(("HGETALL", self._keys.session_key(session)) for session in sessions),
            text=True,
        )
        offline = {owner for owner, lives in zip(owners, replies, strict=False) if not lives}
        for session, owner, flat in zip(sessions, owner_of_each, replies[len(owners) :], strict=True):
            if flat:  # empty for an index entry whose record has expired: nodes remove those
                fields = dict(zip(flat[::2], flat[1::2], strict=True))
                yield parse_record(session, fields, stale=owner in offline)

    def live_heartbeats(self) -> list[Heartbeat]:
        """The last heartbeat of every online node, by id. Raises UnusableAnswer where one cannot be decoded."""
        index = self._read(("ZRANGE", self._keys.nodes_key, 0, -1))[0]
        node_keys = sorted(self._keys.node_key(node.decode()) for node in index)
        payloads = self._read(("MGET", *node_keys))[0] if node_keys else []
        return [heartbeat for payload in payloads if (heartbeat := _decode_heartbeat(payload)) is not None]

    def _pages(self) -> Iterator[list[str]]:
        cursor: Cursor | None = START
        while cursor is not None:
            lowest, most = page_limits(cursor, PAGE_SIZE)
            command = ("ZRANGEBYSCORE", self._keys.sessions_key, lowest, "+inf", "WITHSCORES", "LIMIT", 0, most)
            page, cursor = parse_page(self._read(command)[0], cursor, PAGE_SIZE)
            yield page

    def _read(self, *commands: RedisCommand, text: bool = False) -> list[Any]:
        return self._pool.read(self._timeout, *commands, text=text)


def any_node_alive(connection: DeadlineConnection, keys: Keys, deadline: float) -> bool:
    """Whether a node is online. The count of PUBLISH does not show that: it includes monitors and other subscribers."""
    index = connection.execute(deadline, ("ZRANGE", keys.nodes_key, 0, -1))[0]
    node_keys = [keys.node_key(node.decode()) for node in index]
    return bool(node_keys) and bool(connection.execute(deadline, ("EXISTS", *node_keys))[0])


def is_node_alive(connection: DeadlineConnection, keys: Keys, node: str, deadline: float) -> bool:
    """Whether this node's heartbeat has not expired."""
    return bool(connection.execute(deadline, ("EXISTS", keys.node_key(node)))[0])


class KnownNode(msgspec.Struct, frozen=True):
    """One node. ``heartbeat``: its last one, None while it is offline.

    ``seen``: the time of its last heartbeat, Unix seconds by its own clock; ``silent``: seconds since then, by Redis'
    clock (of an offline node, as far as the two clocks agree). ``sessions``: how many are on record. ``host``: empty
    where it is unknown.
    """

    id: str
    heartbeat: Heartbeat | None
    seen: float
    silent: float
    sessions: int
    host: str

    rank = deprecated_attribute("KnownNode.rank", "heartbeat")


def known_nodes(pool: DeadlineConnectionPool, keys: Keys, timeout: float) -> list[KnownNode]:
    """Every node in the index, by id. Raises RedisUnavailable; UnusableAnswer for an invalid heartbeat."""
    index, clock = pool.read(timeout, ("ZRANGE", keys.nodes_key, 0, -1, "WITHSCORES"), ("TIME",))
    now = int(clock[0]) + int(clock[1]) / 1e6
    last_seen = sorted((node.decode(), float(at)) for node, at in zip(index[::2], index[1::2], strict=True))
    ids = [node for node, _at in last_seen]
    payloads = pool.read(timeout, *(("GET", keys.node_key(node)) for node in ids))
    ttls = pool.read(timeout, *(("PTTL", keys.node_key(node)) for node in ids))
    counts = pool.read(timeout, *(("SCARD", keys.node_sessions_key(node)) for node in ids))
    offline = [node for node, payload in zip(ids, payloads, strict=True) if not payload]
    hosts = last_known_hosts(partial(pool.read, timeout), keys, offline)
    found = []
    for (node, seen_at), raw, ttl, count in zip(last_seen, payloads, ttls, counts, strict=True):
        heartbeat = _decode_heartbeat(raw)
        silent = now - seen_at if heartbeat is None or ttl < 0 else heartbeat.heartbeat * HEARTBEATS_MISSED - ttl / 1000
        host = heartbeat.host if heartbeat else hosts.get(node, "")
        found.append(KnownNode(node, heartbeat, seen_at, round(max(0.0, silent), 3), count, host))
    return found


def last_known_hosts(read: Callable[..., list[Any]], keys: Keys, nodes: Sequence[str]) -> dict[str, str]:
    """The hosts of offline nodes, from the record of any of their sessions, as far as it has one.

    ``read`` executes commands; where it returns an error as a reply, the host stays unknown.
    """
    sessions = read(*(("SRANDMEMBER", keys.node_sessions_key(node)) for node in nodes))
    session_of = {node: id_.decode() for node, id_ in zip(nodes, sessions, strict=True) if isinstance(id_, bytes)}
    replies = read(*(("HGETALL", keys.session_key(session)) for session in session_of.values()))
    flat_of = {node: flat for node, flat in zip(session_of, replies, strict=True) if isinstance(flat, list)}
    hosts = {node: dict(zip(flat[::2], flat[1::2], strict=True)).get(b"host") for node, flat in flat_of.items()}
    return {node: host.decode(errors="replace") for node, host in hosts.items() if host}


def _decode_heartbeat(raw: Any) -> Heartbeat | None:
    try:
        return None if raw is None else decode_heartbeat(raw)
    except DecodeError as error:
        raise UnusableAnswer(f"the heartbeat of a node in Redis cannot be read: {error}") from error


def inspection_from_record(session: str, records: Sequence[SessionRecord], reason: NoCloud) -> InspectResponse:
    """The inspect response from a session's record, marked as stale; ``reason``: why its node cannot answer.

    Raises NotFound where there is no record.
    """
    if not records:
        raise NotFound(f"Redis has no record of session {session}, and {reason.message}")
    fields = msgspec.to_builtins(records[0])
    return msgspec.convert({**fields, "stale": True, "trouble": reason.message}, InspectResponse)
