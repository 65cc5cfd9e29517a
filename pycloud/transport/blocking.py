"""Connections to Redis on which every step has a deadline, even where the server is frozen.

Independent of PyCloud's messages. redis-py sets its timeouts once per connection; here each step has its own deadline
in monotonic seconds. Every error is raised as ``RedisUnavailable`` or a subclass.
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

#: Shortest timeout of a step, in seconds: 0 would make the socket non-blocking, but an overdue step must time out.
MIN_TIMEOUT = 0.001
UNCONFIRMED_SUBSCRIPTION = "Redis does not confirm the subscription: it may be frozen or overloaded"

RedisCommand = Sequence[str | bytes | int]


class NotReachable(RedisUnavailable):
    """No connection could be established; a later attempt may succeed."""


class ConnectionLost(RedisUnavailable):
    """A connection broke, or no reply arrived in time; a new connection may work."""


class DeadlineConnection:
    """One connection. After an error it is closed; the next use opens it again."""

    def __init__(self, pool: ConnectionPool, redacted_url: str) -> None:
        # redis-py types its connections only in part.
        self._connection: Any = pool.make_connection()
        self._redacted_url = redacted_url

    def open(self, deadline: float) -> None:
        """Connect where it is not connected; a connection that the server has closed meanwhile is replaced."""
        self._set_timeout(deadline)
        try:
            if self._connection.is_connected:
                self._connection.can_read(timeout=0)
        except redis.RedisError:
            self._connection.disconnect()
        try:
            self._connection.connect()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise self._translate_error(error, connecting=True) from error
        except redis.RedisError as error:
            raise self._translate_error(error) from error

    def execute(self, deadline: float, *commands: RedisCommand, text: bool = False) -> list[Any]:
        """Send ``commands`` in one write; returns their replies in order, as bytes or (``text``) as strings."""
        self.send(deadline, *commands)
        read, raw = self._connection.read_response, not text
        try:
            return [read(raw, timeout=_remaining(deadline)) for _ in commands]
        except redis.RedisError as error:
            self.close()
            raise self._translate_error(error) from error

    def execute_or_error(self, deadline: float, *commands: RedisCommand) -> list[Any]:
        """As ``execute``, but a command that Redis rejects has the ``redis.ResponseError`` as its reply."""
        self.send(deadline, *commands)
        try:
            return [self._read_reply_or_error(deadline) for _ in commands]
        except redis.RedisError as error:
            self.close()
            raise self._translate_error(error) from error

    def send(self, deadline: float, *commands: RedisCommand) -> None:
        """Send ``commands``; their replies are read with ``read_message``."""
        self._set_timeout(deadline)
        try:
            self._connection.send_packed_command(self._connection.pack_commands(commands))
        except redis.RedisError as error:
            raise self._translate_error(error) from error

    def read_message(self, deadline: float) -> list[Any] | None:
        """The next message of a subscription, e.g. ``[b"message", channel, payload]``; None at the deadline."""
        try:
            message = self._connection.read_response(True, timeout=_remaining(deadline), disconnect_on_error=False)
        except redis.TimeoutError:
            return None
        except redis.RedisError as error:
            self.close()
            raise self._translate_error(error) from error
        return message if isinstance(message, list) else []

    def close(self) -> None:
        """Close it. Never raises."""
        self._connection.disconnect()

    def _read_reply_or_error(self, deadline: float) -> Any:
        try:
            return self._connection.read_response(True, timeout=_remaining(deadline))
        except redis.ResponseError as error:
            return error

    def _set_timeout(self, deadline: float) -> None:
        seconds = _remaining(deadline)
        self._connection.socket_timeout = self._connection.socket_connect_timeout = seconds
        self._connection.update_current_socket_timeout(seconds)

    def _translate_error(self, error: redis.RedisError, *, connecting: bool = False) -> RedisUnavailable:
        where, reason = f"Redis at {self._redacted_url}", str(error).rstrip(".")
        if isinstance(error, AuthenticationError | AuthorizationError):
            return RedisUnavailable(f"{where} rejects the user name or the password: {reason}")
        if connecting:
            return NotReachable(f"{where} cannot be reached: {reason}")
        if isinstance(error, redis.TimeoutError):
            return ConnectionLost(f"{where} does not respond")
        if isinstance(error, redis.ConnectionError):
            return ConnectionLost(f"the connection to {where} broke: {reason}")
        return RedisUnavailable(f"{where} rejects a command: {reason}")


class DeadlineConnectionPool:
    """The connections of one client: made when needed, reused by later requests, used by one thread at a time."""

    def __init__(self, url: str) -> None:
        """Opens no connection yet. Raises ValueError where the URL has options that redis-py does not support."""
        self._pool = ConnectionPool.from_url(
            url,
            max_connections=2**31,  # no limit: one per concurrent request
            protocol=2,
            retry=Retry(NoBackoff(), 0),  # a retried PUBLISH may be delivered twice; callers decide on repeats
            decode_responses=True,  # of the replies requested as text: faster in redis-py than here
            encoding_errors="replace",
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self._redacted_url = hide_password(url)
        try:
            self._idle = [DeadlineConnection(self._pool, self._redacted_url)]
        except TypeError as error:
            raise ValueError(f"{self._redacted_url} has an unknown option: {error}") from error
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def connection(self, deadline: float) -> Iterator[DeadlineConnection]:
        """An open connection for the duration of a ``with`` block. It is reused only where the block does not raise."""
        connection = self._acquire()
        try:
            connection.open(deadline)
            yield connection
        except BaseException:
            connection.close()
            raise
        self._release(connection)

    def read(self, timeout: float, *commands: RedisCommand, text: bool = False) -> list[Any]:
        """The replies to read-only ``commands``. ``timeout``: seconds for all of them.

        ``text``: strings instead of bytes, with U+FFFD for invalid UTF-8. Repeating a read is harmless, so after a lost
        connection the commands are tried once more.
        """
        deadline = time.monotonic() + timeout
        try:
            return self._read(deadline, commands, text)
        except ConnectionLost:
            if time.monotonic() >= deadline:
                raise
            return self._read(deadline, commands, text)

    def close(self) -> None:
        """Close idle connections now, and those in use when they are returned."""
        with self._lock:
            self._closed, idle = True, self._idle
            self._idle = []
        for connection in idle:
            connection.close()

    def _read(self, deadline: float, commands: Sequence[RedisCommand], text: bool) -> list[Any]:
        with self.connection(deadline) as connection:
            return connection.execute(deadline, *commands, text=text) if commands else []

    def _acquire(self) -> DeadlineConnection:
        with self._lock:
            if self._closed:
                raise RuntimeError("this client is closed")
            if self._idle:
                return self._idle.pop()
        return DeadlineConnection(self._pool, self._redacted_url)

    def _release(self, connection: DeadlineConnection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def _remaining(deadline: float) -> float:
    return max(MIN_TIMEOUT, deadline - time.monotonic())
