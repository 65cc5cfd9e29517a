"""Events: read from the stream, followed, and used as a trigger (``watch``). Reads only.

After a loss of Redis a follower continues behind the last event that it read; where the stream is another one by then
(Redis came back empty, or with an old copy), it continues with the new events in that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from pycloud.client.deprecated import deprecated
from pycloud.client.exchange import REDIS_TIMEOUT, backoff
from pycloud.errors import RedisUnavailable
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Event
from pycloud.transport.blocking import ConnectionLost, DeadlineConnectionPool, NotReachable

#: Seconds of one blocking read: short, so that a lost Redis is noticed.
BLOCK_SECONDS = 1.0
#: Most events per read.
PAGE_SIZE = 500
#: The cursor before the first event. A cursor is the id of the last entry that was read: milliseconds and a sequence
#: number.
STREAM_START = "0-0"
MAX_SEQUENCE = 2**64 - 1

#: Called with the error when Redis is lost, and with None when it is back.
OnRedisLoss = Callable[[RedisUnavailable | None], None]


class EventRecord(Event, frozen=True):
    """An event, and its JSON as received, which may hold keys of a newer node."""

    #: Not on the wire.
    raw: bytes = msgspec.field(name="(raw)", default=b"")


def parse_entry(entry: Sequence[Any]) -> EventRecord | None:
    """The event in one entry of the stream, ``[id, [field, value, ...]]``; None where it holds none."""
    fields = entry[1] or []
    payload = dict(zip(fields[::2], fields[1::2], strict=False)).get(b"event", b"")
    try:
        return msgspec.structs.replace(msgspec.json.decode(payload, type=EventRecord), raw=payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # not written by a node


def cursor_before(since: float) -> str:
    """The cursor before all events of the time ``since`` (Unix seconds) or later."""
    milliseconds = int(since * 1000)
    return f"{milliseconds - 1}-{MAX_SEQUENCE}" if milliseconds > 0 else STREAM_START


def resume_cursor(cursor: str, newest_id: str | None) -> str:
    """The cursor to continue from in a stream whose newest entry is ``newest_id`` (None: the stream is empty).

    A stream only grows. One that ends before ``cursor`` has been made anew: its entries are older than those that were
    read, so reading continues behind them; in an empty stream, every later entry is new.
    """
    if newest_id is None:
        return STREAM_START
    return newest_id if _parse_entry_id(newest_id) < _parse_entry_id(cursor) else cursor


class EventFollower:
    """Reads the events behind ``cursor``, which advances with each read."""

    def __init__(self, pool: DeadlineConnectionPool, keys: Keys, cursor: str) -> None:
        self._pool, self._key, self.cursor = pool, keys.events_key, cursor

    def poll(self, deadline: float) -> list[EventRecord]:
        """New events, as soon as there are any; empty where none came before ``deadline`` (monotonic seconds).

        Raises ConnectionLost or NotReachable where Redis is lost: a later call returns the events in between.
        """
        reply_deadline = max(deadline, time.monotonic()) + REDIS_TIMEOUT
        with self._pool.connection(reply_deadline) as connection:
            self.cursor = resume_cursor(
                self.cursor, newest_entry_id(connection.execute(reply_deadline, newest_entry_command(self._key))[0])
            )
            block = max(1, int((deadline - time.monotonic()) * 1000))
            command = ("XREAD", "COUNT", PAGE_SIZE, "BLOCK", block, "STREAMS", self._key, self.cursor)
            reply = connection.execute(reply_deadline, command)[0]
        entries = reply[0][1] if reply else []
        if entries:
            self.cursor = entries[-1][0].decode()
        return [event for entry in entries if (event := parse_entry(entry)) is not None]

    hear = deprecated(poll, "EventFollower.hear", "EventFollower.poll")


class EventLog:
    """Reads the events of one namespace. ``timeout``: seconds that each single read may last."""

    def __init__(self, pool: DeadlineConnectionPool, keys: Keys, timeout: float) -> None:
        self._pool, self._keys, self._timeout = pool, keys, timeout

    def follower(self) -> EventFollower:
        """A follower of the events from now on."""
        return EventFollower(self._pool, self._keys, self._newest_id() or STREAM_START)

    def read(self, since: float | None, last: int | None, follow: bool, on_loss: OnRedisLoss) -> Iterator[EventRecord]:
        """The events, oldest first; see ``Client.events``. The start is determined before this returns."""
        newest_id = self._newest_id()
        start = STREAM_START if since is None else cursor_before(since)
        if newest_id is None or last == 0 or (follow and since is None and last is None):
            past: Iterator[list[Any]] = iter(())
        elif last is not None:
            past = iter([self._read_last(start, newest_id, last)])
        else:
            past = self._read_pages(start, newest_id)
        cursor = newest_id or STREAM_START
        return self._iterate(past, EventFollower(self._pool, self._keys, cursor) if follow else None, on_loss)

    def _iterate(
        self, past: Iterator[list[Any]], follower: EventFollower | None, on_loss: OnRedisLoss
    ) -> Iterator[EventRecord]:
        for page in past:
            yield from (event for entry in page if (event := parse_entry(entry)) is not None)
        if follower is not None:
            yield from _follow(follower, on_loss)

    def _newest_id(self) -> str | None:
        return newest_entry_id(self._pool.read(self._timeout, newest_entry_command(self._keys.events_key))[0])

    def _read_last(self, start: str, end: str, last: int) -> list[Any]:
        command = ("XREVRANGE", self._keys.events_key, end, f"({start}", "COUNT", last)
        return list(reversed(self._pool.read(self._timeout, command)[0]))

    def _read_pages(self, start: str, end: str) -> Iterator[list[Any]]:
        while True:
            command = ("XRANGE", self._keys.events_key, f"({start}", end, "COUNT", PAGE_SIZE)
            page = self._pool.read(self._timeout, command)[0]
            yield page
            if len(page) < PAGE_SIZE:
                return
            start = page[-1][0].decode()


def _follow(follower: EventFollower, on_loss: OnRedisLoss) -> Iterator[EventRecord]:
    losses = 0
    while True:
        try:
            events = follower.poll(time.monotonic() + BLOCK_SECONDS)
        except (ConnectionLost, NotReachable) as error:
            if not losses:
                on_loss(error)
            time.sleep(backoff(losses))
            losses += 1
            continue
        if losses:
            on_loss(None)
            losses = 0
        yield from events


def newest_entry_command(key: str) -> tuple[str | int, ...]:
    """The command that reads the newest entry of a stream."""
    return ("XREVRANGE", key, "+", "-", "COUNT", 1)


def newest_entry_id(reply: Sequence[Any]) -> str | None:
    """The id in the reply to ``newest_entry_command``; None where the stream is empty."""
    return reply[0][0].decode() if reply else None


def _parse_entry_id(entry_id: str) -> tuple[int, int]:
    milliseconds, _, count = entry_id.partition("-")
    return int(milliseconds), int(count)


#: Shortest pause between two looks, in seconds and as a multiple of the duration of the last look, to limit load on
#: Redis.
MIN_WATCH_INTERVAL, WATCH_INTERVAL_FACTOR = 0.2, 4.0

T = TypeVar("T")


def watch(
    look: Callable[[], T], follower: EventFollower, every: float, deadline: float, on_loss: OnRedisLoss
) -> Iterator[T]:
    """Yield the value of ``look`` repeatedly; see ``Client.watch``. ``deadline`` in monotonic seconds."""
    losses = 0
    while True:
        try:
            began = time.monotonic()
            value = look()
            duration = time.monotonic() - began
            if losses:
                on_loss(None)
                losses = 0
            yield value
            if time.monotonic() >= deadline:
                return
            _wait_for_event(
                follower,
                max(MIN_WATCH_INTERVAL, WATCH_INTERVAL_FACTOR * duration),
                min(every, deadline - time.monotonic()),
            )
        except (ConnectionLost, NotReachable) as error:
            if time.monotonic() + backoff(losses) >= deadline:
                raise
            if not losses:
                on_loss(error)
            time.sleep(backoff(losses))
            losses += 1


def _wait_for_event(follower: EventFollower, min_wait: float, max_wait: float) -> None:
    """Wait for the next event, for at least ``min_wait`` seconds and about ``max_wait`` at most."""
    time.sleep(min_wait)  # events of this time are read below, all at once
    deadline = time.monotonic() + max_wait - min_wait
    while (now := time.monotonic()) < deadline:
        if follower.poll(min(deadline, now + BLOCK_SECONDS)):
            return
