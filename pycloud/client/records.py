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
from pycloud.protocol.decoding import DecodeError, decode_rank
from pycloud.protocol.keys import Names, owner_of
from pycloud.protocol.messages import Rank
from pycloud.protocol.session import LIVE
from pycloud.transport.blocking import Command, Line, Lines
from pycloud.transport.paging import START, Place, limits, page_of

PAGE = 500


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


def record_of(session: str, fields: Mapping[str, str], *, stale: bool = False) -> SessionRecord:
    """The record in the fields of a session's hash; an empty field counts as absent. ``stale``: its cloud is away.

    Raises UnusableAnswer where a field is no such thing (a port that is no number).
    """
    known = {name: value for name, value in fields.items() if value}
    state = known.get("state", "")
    row: dict[str, Any] = {"cloud": "", **known, "id": session, "status": state in LIVE, "state": state}
    row.pop("stale", None)
    try:
        if stale:
            row["stale"] = True
        for name in ("ports", "labels"):
            if name in row:
                row[name] = msgspec.json.decode(known[name])
        return msgspec.convert(row, SessionRecord, strict=False)
    except msgspec.DecodeError as error:
        raise UnusableAnswer(f"what Redis holds of session {session} cannot be read: {error}") from error


def selection(
    states: Collection[str] = (), labels: Mapping[str, str] | None = None, name: str | None = None
) -> Callable[[SessionRecord], bool]:
    """Whether a record is in one of these states (any, where there are none), has all these labels, and a name that
    matches the pattern ``name`` (as for files: ``*``, ``?`` and ``[abc]``).
    """
    wanted = (labels or {}).items()

    def chosen(record: SessionRecord) -> bool:
        return (
            (not states or record.state in states)
            and wanted <= (record.labels or {}).items()
            and (name is None or (bool(record.name) and fnmatchcase(record.name or "", name)))
        )

    return chosen


class Records:
    """Reads the records of one namespace. ``timeout``: seconds that each single read may last."""

    def __init__(self, lines: Lines, names: Names, timeout: float) -> None:
        self._lines, self._names, self._timeout = lines, names, timeout

    def session_ids(self, clouds: Collection[str] = ()) -> Iterator[str]:
        """The ids of all sessions known, oldest first, read page by page while you iterate.

        ``clouds``: of those only, unless empty.
        """
        for page in self._pages():
            yield from (session for session in page if not clouds or owner_of(session) in clouds)

    def sessions(
        self, clouds: Collection[str] = (), wanted: Callable[[SessionRecord], bool] = lambda _record: True
    ) -> Iterator[SessionRecord]:
        """The records of all sessions known, oldest first, read page by page while you iterate.

        Sessions that come or go meanwhile may or may not be among them; all others are, once. ``clouds``: of those
        only, unless empty. ``wanted``: of these only.
        """
        for page in batched(self.session_ids(clouds), PAGE):
            yield from (record for record in self.records(page) if wanted(record))

    def names(self) -> Iterator[tuple[str, str]]:
        """The id and name of every session known (empty: it has none), oldest first, read page by page."""
        for page in self._pages():
            replies = self._read(*(("HGET", self._names.session_key(session), "name") for session in page))
            yield from ((session, (name or b"").decode()) for session, name in zip(page, replies, strict=True))

    def named(self, names: Sequence[str]) -> dict[str, str]:
        """The sessions that have these names, or had them last, by name; in one read."""
        replies = self._read(*(("HGET", self._names.name_key(name), "session") for name in names))
        return {name: reply.decode() for name, reply in zip(names, replies, strict=True) if reply is not None}

    def records(self, sessions: Sequence[str]) -> Iterator[SessionRecord]:
        """The records of these sessions, of those that there are."""
        owned = [owner_of(session) for session in sessions]
        owners = sorted(set(filter(None, owned)))
        replies = self._read(
            *(("EXISTS", self._names.cloud_key(owner)) for owner in owners),
            *(("HGETALL", self._names.session_key(session)) for session in sessions),
            text=True,
        )
        away = {owner for owner, lives in zip(owners, replies, strict=False) if not lives}
        for session, owner, flat in zip(sessions, owned, replies[len(owners) :], strict=True):
            if flat:  # an index entry whose record has expired: the clouds sweep it
                fields = dict(zip(flat[::2], flat[1::2], strict=True))
                yield record_of(session, fields, stale=owner in away)

    def clouds(self) -> list[Rank]:
        """The last rank of every cloud that lives, by id."""
        index = self._read(("ZRANGE", self._names.clouds_key, 0, -1))[0]
        keys = sorted(self._names.cloud_key(cloud.decode()) for cloud in index)
        ranks = self._read(("MGET", *keys))[0] if keys else []
        try:
            return [decode_rank(rank) for rank in ranks if rank is not None]
        except DecodeError as error:
            raise UnusableAnswer(f"what Redis holds of a cloud cannot be read: {error}") from error

    def _pages(self) -> Iterator[list[str]]:
        place: Place | None = START
        while place is not None:
            lowest, most = limits(place, PAGE)
            command = ("ZRANGEBYSCORE", self._names.sessions_key, lowest, "+inf", "WITHSCORES", "LIMIT", 0, most)
            page, place = page_of(self._read(command)[0], place, PAGE)
            yield page

    def _read(self, *commands: Command, text: bool = False) -> list[Any]:
        return self._lines.read(self._timeout, *commands, text=text)


def any_cloud_lives(line: Line, names: Names, until: float) -> bool:
    """Whether a cloud listens. PUBLISH's count would not tell: it includes monitors and other listeners."""
    index = line.calls(until, ("ZRANGE", names.clouds_key, 0, -1))[0]
    keys = [names.cloud_key(cloud.decode()) for cloud in index]
    return bool(keys) and bool(line.calls(until, ("EXISTS", *keys))[0])


def cloud_lives(line: Line, names: Names, cloud: str, until: float) -> bool:
    """Whether this cloud has said within its heartbeat that it lives."""
    return bool(line.calls(until, ("EXISTS", names.cloud_key(cloud)))[0])


def batched(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """The items in lists of ``size``, the last one of what is left."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
