"""What Redis knows of clouds and sessions, for whoever lists them. Reads only.

The clouds write these records and sweep them (docs/protocol.md, "In Redis"); a listing is a picture, not a promise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from pycloud.client.errors import UnusableAnswer
from pycloud.client.line import Command, Line, LineLost, Lines
from pycloud.decoding import DecodeError, decode_rank
from pycloud.messages import Rank
from pycloud.names import Names
from pycloud.paging import START, Place, limits, page_of
from pycloud.sessions import LIVE

PAGE = 500

T = TypeVar("T")


class SessionRecord(msgspec.Struct, frozen=True):
    """One session as recorded in Redis: the keys of a status response, plus two.

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


def record_of(session: str, fields: Mapping[str, str]) -> SessionRecord:
    """The record in the fields of a session's hash; an empty field counts as absent.

    Raises UnusableAnswer where a field is no such thing (a port that is no number).
    """
    known = {name: value for name, value in fields.items() if value}
    state = known.get("state", "")
    row: dict[str, Any] = {"cloud": "", **known, "id": session, "status": state in LIVE, "state": state}
    try:
        if "ports" in row:
            row["ports"] = msgspec.json.decode(known["ports"])
        return msgspec.convert(row, SessionRecord, strict=False)
    except msgspec.DecodeError as error:
        raise UnusableAnswer(f"what Redis holds of session {session} cannot be read: {error}") from error


class Records:
    """Reads the records of one namespace. ``timeout``: seconds that each single read may last."""

    def __init__(self, lines: Lines, names: Names, timeout: float) -> None:
        self._lines, self._names, self._timeout = lines, names, timeout

    def session_ids(self) -> Iterator[str]:
        """The ids of all sessions known, oldest first, read page by page while you iterate."""
        for page in self._pages():
            yield from page

    def sessions(self) -> Iterator[SessionRecord]:
        """The records of all sessions known, oldest first, read page by page while you iterate.

        Sessions that come or go meanwhile may or may not be among them; all others are, once.
        """
        for page in self._pages():
            replies = self._read(*(("HGETALL", self._names.session_key(session)) for session in page))
            for session, reply in zip(page, replies, strict=True):
                if reply:  # an index entry whose record has expired: the clouds sweep it
                    yield record_of(session, _pairs(reply))

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

    def _read(self, *commands: Command) -> list[Any]:
        """The replies to ``commands``. Reading twice does no harm, so a line that proves broken is tried anew once."""
        until = time.monotonic() + self._timeout

        def once() -> list[Any]:
            with self._lines.line(until) as line:
                return line.calls(until, *commands) if commands else []

        return _twice(once, until)


def any_cloud_lives(line: Line, names: Names, until: float) -> bool:
    """Whether a cloud listens. PUBLISH's count would not tell: it includes monitors and other listeners."""
    index = line.calls(until, ("ZRANGE", names.clouds_key, 0, -1))[0]
    keys = [names.cloud_key(cloud.decode()) for cloud in index]
    return bool(keys) and bool(line.calls(until, ("EXISTS", *keys))[0])


def cloud_lives(line: Line, names: Names, cloud: str, until: float) -> bool:
    """Whether this cloud has said within its heartbeat that it lives."""
    return bool(line.calls(until, ("EXISTS", names.cloud_key(cloud)))[0])


def _twice(once: Callable[[], T], until: float) -> T:
    try:
        return once()
    except LineLost:
        if time.monotonic() >= until:
            raise
        return once()


def _pairs(flat: list[bytes]) -> dict[str, str]:
    texts = [item.decode(errors="replace") for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
