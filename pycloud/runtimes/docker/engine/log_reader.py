"""Reads the output of a container from the engine's logs as they grow.

The engine is read no faster than the viewer reads. A stream that stalled for long may have skipped output deleted
meanwhile, without notice: so it is reopened at its position. May touch: the engine, through its client.
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
from pycloud.protocol.log_stream import trim_partial_character
from pycloud.runtimes.base import OutputChunk, ReadFrom
from pycloud.runtimes.docker.engine.client import NO_TIMEOUT, EngineClient
from pycloud.runtimes.docker.engine.errors import NOT_FOUND, EngineError
from pycloud.runtimes.docker.engine.log_frames import (
    ALL_MESSAGES,
    BEGINNING,
    Demultiplexer,
    LogMessage,
    LogPosition,
    PositionSearch,
    parse_position,
    position_at,
)

log = logging.getLogger(__name__)

#: Bytes that are buffered for the viewer, at most; the rest stays with the engine.
MAX_BUFFERED = 256 * 1024
#: Seconds that a stream may stall without being reopened.
MAX_STALL = 0.25
#: Seconds until a stream is reopened that has ended (its container may be restarted) or was rejected.
REOPEN_DELAY = 1.0
#: Assumed bytes per line where a number of bytes is requested: engines count lines.
BYTES_PER_LINE = 64
CHUNK = 64 * 1024
#: Seconds of reading before the reader yields to other greenlets.
YIELD_AFTER = 0.005


class ContainerLogReader:
    """Reads the output of ``container``; calls ``on_output`` when there is more. Raises as ``EngineClient.run``.

    Offsets count from where reading begins, or from ``read_from.offset``. ``once``: only the output written by now.
    """

    def __init__(
        self, engine: EngineClient, container: str, read_from: ReadFrom, once: bool, on_output: Callable[[], None]
    ) -> None:
        self._engine, self._container, self._on_output = engine, container, on_output
        self.start_offset = self._offset = read_from.offset or 0
        self.poll_interval = math.inf
        self._tail: int | None = read_from.lines if read_from.tail is None else read_from.tail // BYTES_PER_LINE + 1
        self._position = BEGINNING
        if read_from.position is not None:
            self._position = parse_position(read_from.position)
        elif read_from.since is not None:
            self._position = position_at(read_from.since)
        elif 0 in (read_from.lines, read_from.tail):
            self._position, self._tail = self._end_position(), None
        self.start_position = None if self._position == BEGINNING else str(self._position)
        self._buffer: deque[tuple[bytes, LogPosition, bool]] = deque()
        self._buffered_bytes = 0
        self._space_available = Event()
        self._not_found = self._finished = False
        #: The session has ended, so the next pass is the last. An engine may end the stream of an ending container
        #: before it has sent all of its output.
        self._last_pass = once
        self._wake = Event()
        self._greenlet = gevent.spawn(self._fill_for_ever)

    def read(self, max_bytes: int) -> OutputChunk | None:
        """Return the next output, at most ``max_bytes`` bytes; None: there is none now. Raises FileNotFoundError."""
        if not self._buffer:
            if self._not_found:
                raise FileNotFoundError(self._container)
            return None
        parts: list[bytes] = []
        lost, size = self._buffer[0][2], 0
        position: LogPosition | None = None
        while self._buffer and (not parts or not self._buffer[0][2]):
            data, position_after, _ = self._buffer[0]
            if size + len(data) > max_bytes:
                break
            parts.append(data)
            size, position = size + len(data), position_after
            self._buffer.popleft()
        if not parts:  # a message above the limit: the position moves behind it only after all of it was read
            data, rest_position, _ = self._buffer.popleft()
            part = trim_partial_character(data[:max_bytes])
            self._buffer.appendleft((data[len(part) :], rest_position, False))
            parts, size = [part], len(part)
        self._buffered_bytes -= size
        if self._buffered_bytes <= MAX_BUFFERED // 2:
            self._space_available.set()
        offset, self._offset = self._offset, self._offset + size
        return OutputChunk(offset, b"".join(parts), None if position is None else str(position), lost)

    def is_complete(self, session_ended: bool) -> bool:
        """Return whether that was all: the engine has sent all its output in a pass begun after the session's end."""
        if session_ended and not self._last_pass:
            self._last_pass = True
            self._wake.set()
        return self._finished and not self._buffer

    def close(self) -> None:
        """Stop reading."""
        self._greenlet.kill()

    def _fill_for_ever(self) -> None:
        while not self._not_found:
            self._engine.connected.wait()
            last_pass = self._last_pass
            try:
                stalled = self._engine.run(partial(self._fill, follow=not last_pass), NO_TIMEOUT)
            except EngineUnavailable as error:
                log.debug("the log stream of %s was interrupted: %s", self._container, error)
                gevent.sleep(REOPEN_DELAY)
                continue
            except EngineError as refusal:
                self._not_found = refusal.status == NOT_FOUND
                level = logging.DEBUG if self._not_found else logging.WARNING
                log.log(level, "the engine rejected the request for the logs of %s: %s", self._container, refusal)
                self._on_output()
                gevent.sleep(REOPEN_DELAY)
                continue
            self._finished = last_pass and not stalled
            self._on_output()
            if self._finished:
                return
            if not stalled:
                self._wake.wait(REOPEN_DELAY)

    def _fill(self, client: docker.APIClient, follow: bool) -> bool:
        """Read the engine's logs to their end; return True where the stream stalled for too long before that."""
        demultiplexer = Demultiplexer(client._check_is_tty(self._container))
        search = PositionSearch(self._position)
        response = _logs(client, self._container, self._position, self._tail, follow=follow)
        try:
            began = monotonic()
            for chunk in response.iter_content(CHUNK):
                for message in demultiplexer.feed(chunk):
                    self._buffer_message(message, search)
                self._on_output()
                # Many small messages take long, and reading from a busy engine never blocks: others get as much time.
                if (busy := monotonic() - began) > YIELD_AFTER:
                    gevent.sleep(min(busy, 2 * YIELD_AFTER))
                    began = monotonic()
                if not self._wait_for_space():
                    return True
            for message in demultiplexer.flush():
                self._buffer_message(message, search)
        finally:
            response.close()
        return False

    def _buffer_message(self, message: LogMessage, search: PositionSearch) -> None:
        wanted, lost = search.accept(message)
        if wanted:
            self._position, self._tail = search.position, None
            self._buffer.append((message.data, search.position, lost))
            self._buffered_bytes += len(message.data)

    def _wait_for_space(self) -> bool:
        if self._buffered_bytes <= MAX_BUFFERED:
            return True
        self._space_available.clear()
        started = monotonic()
        self._space_available.wait()
        return monotonic() - started <= MAX_STALL

    def _end_position(self) -> LogPosition:
        """Return the position after all output written so far."""

        def newest(client: docker.APIClient) -> str | None:
            demultiplexer = Demultiplexer(client._check_is_tty(self._container))
            data: bytes = _logs(client, self._container, BEGINNING, 1, follow=False).content
            stamps = [message.stamp for each in (demultiplexer.feed(data), demultiplexer.flush()) for message in each]
            return max(stamps, default=None)

        stamp = self._engine.run(newest)
        return BEGINNING if stamp is None else LogPosition(stamp, ALL_MESSAGES)


def _logs(client: docker.APIClient, container: str, position: LogPosition, tail: int | None, *, follow: bool) -> Any:
    """Return the engine's response, still to be read.

    docker-py's own ``logs`` reads terminals byte by byte, and has no fractions of a second below the microsecond.
    """
    params = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
    since = {} if position == BEGINNING else {"since": position.since()}
    url = client._url("/containers/{0}/logs", container)
    response = client._get(url, params={**params, **since, "tail": "all" if tail is None else tail}, stream=True)
    client._raise_for_status(response)
    return response
