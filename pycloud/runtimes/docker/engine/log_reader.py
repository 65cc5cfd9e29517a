"""Output of a container, from the engine's logs as they grow.

The engine is read no faster than the viewer reads. A stream of it that stood still for long may have passed over what
was thrown away meanwhile, without a word: so it is opened anew, at its place. May touch: the engine, through its line.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

import docker
import gevent
from gevent.event import Event

from pycloud.errors import EngineUnavailable
from pycloud.protocol.log_stream import whole_characters
from pycloud.runtimes.base import Piece, Start
from pycloud.runtimes.docker.engine.client import FOREVER, Engine
from pycloud.runtimes.docker.engine.errors import NOT_FOUND, Refusal
from pycloud.runtimes.docker.engine.log_frames import (
    ALL,
    BEGINNING,
    Demultiplexer,
    Message,
    Place,
    Search,
    place_at,
    place_of,
)

log = logging.getLogger(__name__)

#: Bytes that are held for the viewer, at most; more is left with the engine.
MOST_HELD = 256 * 1024
#: Seconds that a stream may stand still.
STILL = 0.25
#: Seconds until a stream is opened again that has ended (its container may be started again) or was refused.
AGAIN = 1.0
#: Bytes that a line is taken to have where so many bytes are asked for: engines count lines.
LINE = 64
CHUNK = 64 * 1024
#: Seconds for which it is read without a pause.
TURN = 0.005


class LogReader:
    """Reads the output of ``container``; ``more`` is called when there is more. Raises what the engine raises.

    Offsets count from where the reading begins, or go on from ``start.offset``. ``once``: only what there is by now.
    """

    def __init__(self, engine: Engine, container: str, start: Start, once: bool, more: Callable[[], None]) -> None:
        self._engine, self._container, self._more = engine, container, more
        self.begin = self._at = start.offset or 0
        self.patience = math.inf
        self._tail: int | None = start.lines if start.tail is None else start.tail // LINE + 1
        self._place = BEGINNING
        if start.place is not None:
            self._place = place_of(start.place)
        elif start.since is not None:
            self._place = place_at(start.since)
        elif 0 in (start.lines, start.tail):
            self._place, self._tail = self._end_of_it(), None
        self.place = None if self._place == BEGINNING else str(self._place)
        self._held: deque[tuple[bytes, Place, bool]] = deque()
        self._bytes = 0
        self._room = Event()
        self._gone = self._said_all = False
        #: The session is over: the next look is the last one. An engine may end the stream of a container that ends
        #: before it has said all of it.
        self._last_look = once
        self._look = Event()
        self._greenlet = gevent.spawn(self._fill_for_ever)

    def read(self, most: int) -> Piece | None:
        """The next output, at most ``most`` bytes; None: there is none now. Raises FileNotFoundError."""
        if not self._held:
            if self._gone:
                raise FileNotFoundError(self._container)
            return None
        parts: list[bytes] = []
        lost, size = self._held[0][2], 0
        place: Place | None = None
        while self._held and (not parts or not self._held[0][2]):
            data, place_behind, _ = self._held[0]
            if size + len(data) > most:
                break
            parts.append(data)
            size, place = size + len(data), place_behind
            self._held.popleft()
        if not parts:  # one message that is larger than what is wanted: the place is behind it only once it is all read
            data, behind, _ = self._held.popleft()
            part = whole_characters(data[:most])
            self._held.appendleft((data[len(part) :], behind, False))
            parts, size = [part], len(part)
        self._bytes -= size
        if self._bytes <= MOST_HELD // 2:
            self._room.set()
        offset, self._at = self._at, self._at + size
        return Piece(offset, b"".join(parts), None if place is None else str(place), lost)

    def complete(self, over: bool) -> bool:
        """Whether that was all: the engine has said the last of it when the session was over already."""
        if over and not self._last_look:
            self._last_look = True
            self._look.set()
        return self._said_all and not self._held

    def close(self) -> None:
        """Read no more."""
        self._greenlet.kill()

    def _fill_for_ever(self) -> None:
        while not self._gone:
            self._engine.connected.wait()
            last = self._last_look
            try:
                still = self._engine.run(partial(self._fill, follow=not last), FOREVER)
            except EngineUnavailable as error:
                log.debug("the stream of logs of %s broke: %s", self._container, error)
                gevent.sleep(AGAIN)
                continue
            except Refusal as refusal:
                self._gone = refusal.status == NOT_FOUND
                level = logging.DEBUG if self._gone else logging.WARNING
                log.log(level, "the engine gives no logs of %s: %s", self._container, refusal)
                self._more()
                gevent.sleep(AGAIN)
                continue
            self._said_all = last and not still
            self._more()
            if self._said_all:
                return
            if not still:
                self._look.wait(AGAIN)

    def _fill(self, client: docker.APIClient, follow: bool) -> bool:
        """Read what the engine has to say, to its end; True where the stream stood still for too long before that."""
        demultiplexer = Demultiplexer(client._check_is_tty(self._container))
        search = Search(self._place)
        response = _logs(client, self._container, self._place, self._tail, follow=follow)
        try:
            began = monotonic()
            for chunk in response.iter_content(CHUNK):
                for message in demultiplexer.feed(chunk):
                    self._take(message, search)
                self._more()
                # Many small messages take long, and a busy engine is never waited for: others get as much time.
                if (busy := monotonic() - began) > TURN:
                    gevent.sleep(min(busy, 2 * TURN))
                    began = monotonic()
                if not self._wait_for_room():
                    return True
            for message in demultiplexer.rest():
                self._take(message, search)
        finally:
            response.close()
        return False

    def _take(self, message: Message, search: Search) -> None:
        wanted, lost = search.take(message)
        if wanted:
            self._place, self._tail = search.place, None
            self._held.append((message.data, search.place, lost))
            self._bytes += len(message.data)

    def _wait_for_room(self) -> bool:
        if self._bytes <= MOST_HELD:
            return True
        self._room.clear()
        stood = monotonic()
        self._room.wait()
        return monotonic() - stood <= STILL

    def _end_of_it(self) -> Place:
        """The place behind all that was written so far."""

        def newest(client: docker.APIClient) -> str | None:
            demultiplexer = Demultiplexer(client._check_is_tty(self._container))
            data: bytes = _logs(client, self._container, BEGINNING, 1, follow=False).content
            stamps = [message.stamp for each in (demultiplexer.feed(data), demultiplexer.rest()) for message in each]
            return max(stamps, default=None)

        stamp = self._engine.run(newest)
        return BEGINNING if stamp is None else Place(stamp, ALL)


def _logs(client: docker.APIClient, container: str, place: Place, tail: int | None, *, follow: bool) -> Any:
    """The engine's answer, still to be read. docker-py's own ``logs`` reads terminals byte by byte, and knows no
    fractions of a second below the microsecond."""
    params = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
    since = {} if place == BEGINNING else {"since": place.since()}
    url = client._url("/containers/{0}/logs", container)
    response = client._get(url, params={**params, **since, "tail": "all" if tail is None else tail}, stream=True)
    client._raise_for_status(response)
    return response
