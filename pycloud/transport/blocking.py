"""Connections to Redis on which nothing takes longer than it may, frozen servers included.

Knows nothing of PyCloud's messages. redis-py sets its time limits once per connection; here every single step is told
until when it may last, on the monotonic clock. Every error comes out as ``RedisUnavailable`` or a subclass.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import AuthenticationError, AuthorizationError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from pycloud.errors import RedisUnavailable
from pycloud.transport.url import hide_password

#: A time limit of 0 would mean "do not block" to a socket, and an overdue step still has to fail by timing out.
SHORTEST_WAIT = 0.001

Command = Sequence[str | bytes | int]


class NotReachable(RedisUnavailable):
    """No connection could be made; a later attempt may succeed."""


class LineLost(RedisUnavailable):
    """A connection broke, or nothing came back in time; a new one may work."""


class Line:
    """One connection. After an error it is closed, and opens again when it is used next."""

    def __init__(self, pool: ConnectionPool, shown_url: str) -> None:
        # redis-py types its connections only in part.
        self._connection: Any = pool.make_connection()
        self._shown_url = shown_url

    def open(self, until: float) -> None:
        """Connect, unless it is connected; one that the server has closed meanwhile is replaced."""
        self._limit(until)
        try:
            if self._connection.is_connected:
                self._connection.can_read(timeout=0)
        except redis.RedisError:
            self._connection.disconnect()
        try:
            self._connection.connect()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise self._explain(error, connecting=True) from error
        except redis.RedisError as error:
            raise self._explain(error) from error

    def calls(self, until: float, *commands: Command, text: bool = False) -> list[Any]:
        """Send ``commands`` in one write; returns their replies in order, as bytes or (``text``) as strings."""
        self.send(until, *commands)
        read, raw = self._connection.read_response, not text
        try:
            return [read(raw, timeout=_left(until)) for _ in commands]
        except redis.RedisError as error:
            self.close()
            raise self._explain(error) from error

    def tries(self, until: float, *commands: Command) -> list[Any]:
        """As ``calls``, but what Redis refuses has the refusal (a ``redis.ResponseError``) for its reply."""
        self.send(until, *commands)
        try:
            return [self._reply(until) for _ in commands]
        except redis.RedisError as error:
            self.close()
            raise self._explain(error) from error

    def send(self, until: float, *commands: Command) -> None:
        """Send ``commands``, and leave what comes back to ``hear``."""
        self._limit(until)
        try:
            self._connection.send_packed_command(self._connection.pack_commands(commands))
        except redis.RedisError as error:
            raise self._explain(error) from error

    def hear(self, until: float) -> list[Any] | None:
        """The next message on a subscribed line, e.g. ``[b"message", channel, payload]``; None when time is up."""
        try:
            message = self._connection.read_response(True, timeout=_left(until), disconnect_on_error=False)
        except redis.TimeoutError:
            return None
        except redis.RedisError as error:
            self.close()
            raise self._explain(error) from error
        return message if isinstance(message, list) else []

    def close(self) -> None:
        """Close it. Never fails."""
        self._connection.disconnect()

    def _reply(self, until: float) -> Any:
        try:
            return self._connection.read_response(True, timeout=_left(until))
        except redis.ResponseError as refusal:
            return refusal

    def _limit(self, until: float) -> None:
        seconds = _left(until)
        self._connection.socket_timeout = self._connection.socket_connect_timeout = seconds
        self._connection.update_current_socket_timeout(seconds)

    def _explain(self, error: redis.RedisError, *, connecting: bool = False) -> RedisUnavailable:
        where = f"Redis at {self._shown_url}"
        if isinstance(error, AuthenticationError | AuthorizationError):
            return RedisUnavailable(f"{where} refuses the user name or the password: {error}")
        if connecting:
            return NotReachable(f"{where} cannot be reached: {error}")
        if isinstance(error, redis.TimeoutError):
            return LineLost(f"{where} does not answer")
        if isinstance(error, redis.ConnectionError):
            return LineLost(f"the connection to {where} broke: {str(error).rstrip('.')}")
        return RedisUnavailable(f"{where} refuses: {error}")


class Lines:
    """The lines of one client: made when needed, kept for the next request, used by one thread at a time."""

    def __init__(self, url: str) -> None:
        """Connects nothing yet. Raises ValueError where the URL has options that redis-py does not know."""
        self._pool = ConnectionPool.from_url(
            url,
            max_connections=2**31,  # as many as there are requests at once
            protocol=2,
            retry=Retry(NoBackoff(), 0),  # a retried PUBLISH may be delivered twice; repeating is decided elsewhere
            decode_responses=True,  # of the replies that are wanted as text: redis-py is quicker at it than we are
            encoding_errors="replace",
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self._shown_url = hide_password(url)
        try:
            self._idle = [Line(self._pool, self._shown_url)]
        except TypeError as error:
            raise ValueError(f"{self._shown_url} has an option that is not known: {error}") from error
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def line(self, until: float) -> Iterator[Line]:
        """A connected line for the time of a ``with`` block. It is kept only where the block ends well."""
        line = self._take()
        try:
            line.open(until)
            yield line
        except BaseException:
            line.close()
            raise
        self._give_back(line)

    def read(self, timeout: float, *commands: Command, text: bool = False) -> list[Any]:
        """The replies to ``commands``, which only read; ``timeout`` in seconds. ``text``: strings, with U+FFFD for
        what is no UTF-8, instead of bytes.

        Reading twice does no harm, so a line that proves broken is tried anew once.
        """
        until = time.monotonic() + timeout
        try:
            return self._read(until, commands, text)
        except LineLost:
            if time.monotonic() >= until:
                raise
            return self._read(until, commands, text)

    def close(self) -> None:
        """Close the idle ones now, and those in use when they come back."""
        with self._lock:
            self._closed, idle = True, self._idle
            self._idle = []
        for line in idle:
            line.close()

    def _read(self, until: float, commands: Sequence[Command], text: bool) -> list[Any]:
        with self.line(until) as line:
            return line.calls(until, *commands, text=text) if commands else []

    def _take(self) -> Line:
        with self._lock:
            if self._closed:
                raise RuntimeError("this client is closed")
            if self._idle:
                return self._idle.pop()
        return Line(self._pool, self._shown_url)

    def _give_back(self, line: Line) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(line)
                return
        line.close()


def _left(until: float) -> float:
    return max(SHORTEST_WAIT, until - time.monotonic())
