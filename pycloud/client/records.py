"""What Redis knows of clouds and sessions, for whoever lists them. Reads only.

The clouds write these records and sweep them (docs/protocol.md, "In Redis"); a listing is a picture, not a promise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from pycloud.client.errors import UnusableAnswer
from pycloud.protocol.decoding import DecodeError, decode_heartbeat
from pycloud.protocol.keys import Keys, owner_of
from pycloud.protocol.messages import Heartbeat
from pycloud.protocol.session import LIVE
from pycloud.transport.blocking import DeadlineConnection, DeadlineConnectionPool, RedisCommand
from pycloud.transport.paging import START, Cursor, page_limits, parse_page

PAGE_SIZE = 500


class SessionRecord(msgspec.Struct, frozen=True):
    """One session as recorded in Redis: the keys of a status response (``stale``: its cloud is away), plus two.

    ``request`` is the id of the create that made it, ``runtime`` what runs it (``script``, ...). Keys that are not
    valid in its state are left out. Times are Unix seconds. ``state`` may be a word of a newer cloud.
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
    """The record in the fields of a session's hash; an empty field counts as absent. ``stale``: its cloud is away.

    Raises UnusableAnswer where a field is no such thing (a port that is no number).
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
        raise UnusableAnswer(f"what Redis holds of session {session} cannot be read: {error}") from error


def record_filter(
    states: Collection[str] = (), labels: Mapping[str, str] | None = None, name: str | None = None
) -> Callable[[SessionRecord], bool]:
    """Whether a record is in one of these states (any, where there are none), has all these labels, and a name that
    matches the pattern ``name`` (as for files: ``*``, ``?`` and ``[abc]``).
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

    def session_ids(self, clouds: Collection[str] = ()) -> Iterator[str]:
        """The ids of all sessions known, oldest first, read page by page while you iterate.

        ``clouds``: of those only, unless empty.
        """
        for page in self._pages():
            yield from (session for session in page if not clouds or owner_of(session) in clouds)

    def sessions(
        self, clouds: Collection[str] = (), matches: Callable[[SessionRecord], bool] = lambda _record: True
    ) -> Iterator[SessionRecord]:
        """The records of all sessions known, oldest first, read page by page while you iterate.

        Sessions that come or go meanwhile may or may not be among them; all others are, once. ``clouds``: of those
        only, unless empty. ``wanted``: of these only.
        """
        for page in batched(self.session_ids(clouds), PAGE_SIZE):
            yield from (record for record in self.records(page) if matches(record))

    def session_names(self) -> Iterator[tuple[str, str]]:
        """The id and name of every session known (empty: it has none), oldest first, read page by page."""
        for page in self._pages():
            replies = self._read(*(("HGET", self._keys.session_key(session), "name") for session in page))
            yield from ((session, (name or b"").decode()) for session, name in zip(page, replies, strict=True))

    def session_ids_by_name(self, names: Sequence[str]) -> dict[str, str]:
        """The sessions that have these names, or had them last, by name; in one read."""
        replies = self._read(*(("HGET", self._keys.name_key(name), "session") for name in names))
        return {name: reply.decode() for name, reply in zip(names, replies, strict=True) if reply is not None}

    def records(self, sessions: Sequence[str]) -> Iterator[SessionRecord]:
        """The records of these sessions, of those that there are."""
        owner_of_each = [owner_of(session) for session in sessions]
        owners = sorted(set(filter(None, owner_of_each)))
        replies = self._read(
            *(("EXISTS", self._keys.node_key(owner)) for owner in owners),
            *(("HGETALL", self._keys.session_key(session)) for session in sessions),
            text=True,
        )
        offline = {owner for owner, lives in zip(owners, replies, strict=False) if not lives}
        for session, owner, flat in zip(sessions, owner_of_each, replies[len(owners) :], strict=True):
            if flat:  # an index entry whose record has expired: the clouds sweep it
                fields = dict(zip(flat[::2], flat[1::2], strict=True))
                yield parse_record(session, fields, stale=owner in offline)

    def live_heartbeats(self) -> list[Heartbeat]:
        """The last rank of every cloud that lives, by id."""
        index = self._read(("ZRANGE", self._keys.nodes_key, 0, -1))[0]
        node_keys = sorted(self._keys.node_key(cloud.decode()) for cloud in index)
        payloads = self._read(("MGET", *node_keys))[0] if node_keys else []
        try:
            return [decode_heartbeat(rank) for rank in payloads if rank is not None]
        except DecodeError as error:
            raise UnusableAnswer(f"what Redis holds of a cloud cannot be read: {error}") from error

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
    """Whether a cloud listens. PUBLISH's count would not tell: it includes monitors and other listeners."""
    index = connection.execute(deadline, ("ZRANGE", keys.nodes_key, 0, -1))[0]
    node_keys = [keys.node_key(cloud.decode()) for cloud in index]
    return bool(node_keys) and bool(connection.execute(deadline, ("EXISTS", *node_keys))[0])


def is_node_alive(connection: DeadlineConnection, keys: Keys, cloud: str, deadline: float) -> bool:
    """Whether this cloud has said within its heartbeat that it lives."""
    return bool(connection.execute(deadline, ("EXISTS", keys.node_key(cloud)))[0])


def batched(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """The items in lists of ``size``, the last one of what is left."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
