"""What happened: the stream of events, as it stands, and followed as it grows. Reads only.

Whoever follows goes on where Redis was lost, behind the last event that was read; where the stream was made anew
meanwhile (a Redis that came back empty, or with an old copy), with what is new in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from pycloud.client.exchange import REDIS_PATIENCE, pause
from pycloud.errors import RedisUnavailable
from pycloud.protocol.keys import Names
from pycloud.protocol.messages import Event
from pycloud.transport.blocking import LineLost, Lines, NotReachable

#: Seconds that Redis is asked to wait for news at once: short, so that one that is gone is noticed.
BLOCK = 1.0
#: The most events that are read at once.
PAGE = 500
#: The place before the first event. A place is the id of the last entry that was read: milliseconds, a count.
BEGINNING = "0-0"
LAST_IN_A_MILLISECOND = 2**64 - 1

#: Called with the error when Redis is lost, and with None when it is back.
OnLoss = Callable[[RedisUnavailable | None], None]


class Told(Event, frozen=True):
    """An event, and its JSON as it came, which may hold keys of a newer cloud."""

    #: Does not travel.
    raw: bytes = msgspec.field(name="(raw)", default=b"")


def told(entry: Sequence[Any]) -> Told | None:
    """The event in one entry of the stream, ``[id, [field, value, ...]]``; None where it holds none."""
    fields = entry[1] or []
    payload = dict(zip(fields[::2], fields[1::2], strict=False)).get(b"event", b"")
    try:
        return msgspec.structs.replace(msgspec.json.decode(payload, type=Told), raw=payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # written by somebody else than a cloud


def place_of(since: float) -> str:
    """The place before everything that was told at ``since`` (Unix seconds) or later."""
    milliseconds = int(since * 1000)
    return f"{milliseconds - 1}-{LAST_IN_A_MILLISECOND}" if milliseconds > 0 else BEGINNING


def resume(place: str, newest: str | None) -> str:
    """Where to go on behind ``place`` in a stream whose newest entry is ``newest`` (None: it has none).

    A stream only grows. One that ends before the place has been made anew: what stands there is older than what was
    read, unless it is empty; what comes into it then is new.
    """
    if newest is None:
        return BEGINNING
    return newest if _order(newest) < _order(place) else place


class Follower:
    """Goes on behind ``place``, which moves with what is heard."""

    def __init__(self, lines: Lines, names: Names, place: str) -> None:
        self._lines, self._key, self.place = lines, names.events_key, place

    def hear(self, until: float) -> list[Told]:
        """What is new, as soon as there is anything; empty where nothing came until then (monotonic).

        Raises LineLost or NotReachable where Redis is lost: what comes meanwhile is heard by a later call.
        """
        soon = max(until, time.monotonic()) + REDIS_PATIENCE
        with self._lines.line(soon) as line:
            self.place = resume(self.place, newest_of(line.calls(soon, newest(self._key))[0]))
            block = max(1, int((until - time.monotonic()) * 1000))
            command = ("XREAD", "COUNT", PAGE, "BLOCK", block, "STREAMS", self._key, self.place)
            reply = line.calls(soon, command)[0]
        entries = reply[0][1] if reply else []
        if entries:
            self.place = entries[-1][0].decode()
        return [event for entry in entries if (event := told(entry)) is not None]


class Events:
    """Reads the events of one namespace. ``timeout``: seconds that each single read may last."""

    def __init__(self, lines: Lines, names: Names, timeout: float) -> None:
        self._lines, self._names, self._timeout = lines, names, timeout

    def follower(self) -> Follower:
        """One that hears what happens from now on."""
        return Follower(self._lines, self._names, self._newest() or BEGINNING)

    def read(self, since: float | None, last: int | None, follow: bool, on_loss: OnLoss) -> Iterator[Told]:
        """The events, oldest first; see ``Client.events``. Where to begin is settled when this returns."""
        newest = self._newest()
        begin = BEGINNING if since is None else place_of(since)
        if newest is None or last == 0 or (follow and since is None and last is None):
            past: Iterator[list[Any]] = iter(())
        elif last is not None:
            past = iter([self._tail(begin, newest, last)])
        else:
            past = self._pages(begin, newest)
        place = newest or BEGINNING
        return self._all(past, Follower(self._lines, self._names, place) if follow else None, on_loss)

    def _all(self, past: Iterator[list[Any]], follower: Follower | None, on_loss: OnLoss) -> Iterator[Told]:
        for page in past:
            yield from (event for entry in page if (event := told(entry)) is not None)
        if follower is not None:
            yield from _follow(follower, on_loss)

    def _newest(self) -> str | None:
        return newest_of(self._lines.read(self._timeout, newest(self._names.events_key))[0])

    def _tail(self, begin: str, end: str, last: int) -> list[Any]:
        command = ("XREVRANGE", self._names.events_key, end, f"({begin}", "COUNT", last)
        return list(reversed(self._lines.read(self._timeout, command)[0]))

    def _pages(self, begin: str, end: str) -> Iterator[list[Any]]:
        while True:
            command = ("XRANGE", self._names.events_key, f"({begin}", end, "COUNT", PAGE)
            page = self._lines.read(self._timeout, command)[0]
            yield page
            if len(page) < PAGE:
                return
            begin = page[-1][0].decode()


def _follow(follower: Follower, on_loss: OnLoss) -> Iterator[Told]:
    losses = 0
    while True:
        try:
            news = follower.hear(time.monotonic() + BLOCK)
        except (LineLost, NotReachable) as error:
            if not losses:
                on_loss(error)
            time.sleep(pause(losses))
            losses += 1
            continue
        if losses:
            on_loss(None)
            losses = 0
        yield from news


def newest(key: str) -> tuple[str | int, ...]:
    """The command that asks for the newest entry of a stream."""
    return ("XREVRANGE", key, "+", "-", "COUNT", 1)


def newest_of(reply: Sequence[Any]) -> str | None:
    """The id in the reply to that; None where the stream is empty."""
    return reply[0][0].decode() if reply else None


def _order(place: str) -> tuple[int, int]:
    milliseconds, _, count = place.partition("-")
    return int(milliseconds), int(count)
