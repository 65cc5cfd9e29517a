"""Calls to Redis from many greenlets over one connection, written in batches; reconnects by itself.

Independent of PyCloud: commands in, replies out. Needs a patched process (see app.py). Published messages are received
by ``subscriber.py``.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha1
from time import monotonic
from typing import Any, TypeVar

import gevent
import redis
from gevent.event import AsyncResult, Event

from pycloud.transport.connection import TIMEOUT, Backoff, Connection, OutageLog, connect, make_pool, send
from pycloud.transport.paging import batched

log = logging.getLogger(__name__)

#: Most commands in one batch, so that the first of a thousand callers does not wait for the last.
MAX_BATCH = 512
#: Errors of a server that cannot execute a command now, but may later: the command has had no effect and is sent again.
#: Before Redis 7 the error of a command within a script is part of a longer message, after a dash.
RETRYABLE = re.compile(r"(?:^|-)(?:LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MISCONF|NOREPLICAS|BUSY|OOM)\b")

#: Most items that one caller submits together.
CHUNK_SIZE = 500

T = TypeVar("T")
RedisArgument = str | bytes | int | float
RedisCommand = tuple[RedisArgument, ...]


@dataclass(slots=True)
class PendingCommand:
    """A command in transit. ``result`` is None where no caller waits: a lost connection then drops it."""

    command: RedisCommand
    result: AsyncResult | None
    #: Not sent after this time (monotonic seconds).
    expires: float = float("inf")
    #: Part of the resync of a new server, which is served before all other commands.
    resync: bool = False


class DeadlineExceeded(Exception):
    """A call could not be sent before its deadline, and was not sent at all (or to a server that did not answer)."""


class LuaScript:
    """A Lua script, identified to the server by the SHA-1 of its source."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()


class RedisPipeline:
    """One connection to which greenlets submit their commands.

    Every command given to ``execute`` may reach the server more than once (when a connection breaks, it is unknown
    which commands were executed): submit only commands that may be repeated.
    """

    def __init__(self, url: str, outage: OutageLog) -> None:
        self._pool = make_pool(url, socket_timeout=TIMEOUT)
        self._outage = outage
        outage.on_down = lambda: self.send("PING")
        self._queue: deque[PendingCommand] = deque()
        self._priority_queue: deque[PendingCommand] = deque()
        self._wakeup = Event()
        self._connection: Connection | None = None
        self._backoff = Backoff()
        self._greenlet: gevent.Greenlet | None = None
        self._resync_greenlet: gevent.Greenlet | None = None
        self.connected = Event()
        #: Called after each connect to another server than before, or to the same one after a restart. Until it
        #: returns, only its own calls are served, so that the server first receives the data that it has lost.
        self.on_server_changed: Callable[[], None] = lambda: None
        #: Called after each connect, behind ``on_server_changed``.
        self.on_connect: Callable[[], None] = lambda: None
        self.run_id = ""
        self._synced_run_id = ""

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._wakeup.set()
        self._greenlet = gevent.spawn(self._write_for_ever)

    def stop(self) -> None:
        """Close the connection. Waiting calls fail with a ConnectionError."""
        gevent.killall([greenlet for greenlet in (self._greenlet, self._resync_greenlet) if greenlet is not None])
        self._disconnect()
        for call in (*self._priority_queue, *self._queue):
            if call.result is not None:
                call.result.set_exception(redis.ConnectionError("the connection to Redis is being closed"))
        self._queue.clear()

    def execute(self, *command: RedisArgument) -> Any:
        """The server's reply, however long that takes. Raises redis.ResponseError where it rejects the command."""
        return self.execute_many([command])[0]

    def execute_many(self, commands: Sequence[RedisCommand]) -> list[Any]:
        """The replies of several commands, in order; the first error is raised after all were executed."""
        results = self._enqueue(commands)
        for result in results:
            result.wait()
        return [result.get() for result in results]

    def send(self, *command: RedisArgument, max_age: float | None = None) -> None:
        """Send without waiting for the reply; dropped without a connection, or after ``max_age`` seconds unsent."""
        if self.connected.is_set():
            expires = float("inf") if max_age is None else monotonic() + max_age
            self._priority_queue.append(PendingCommand(command, None, expires))
            self._wakeup.set()

    def eval_script(
        self, script: LuaScript, keys: Sequence[str], args: Sequence[RedisArgument], *, deadline: float = float("inf")
    ) -> Any:
        """Run a Lua script, sending its source where the server does not have it (any more).

        Raises DeadlineExceeded where it could not be sent by ``deadline`` (monotonic seconds).
        """
        return self.eval_scripts(script, [(keys, args)], deadline=deadline)[0]

    def eval_scripts(
        self,
        script: LuaScript,
        runs: Sequence[tuple[Sequence[str], Sequence[RedisArgument]]],
        *,
        deadline: float = float("inf"),
    ) -> list[Any]:
        """Run one script several times, each with its own keys and arguments; returns the replies in order."""
        commands = [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in runs]
        results = self._enqueue(commands, deadline)
        return [self._reply_of(script, result, command) for result, command in zip(results, commands, strict=True)]

    def flush(self, timeout: float) -> None:
        """Wait until the commands given to ``send`` have been sent, at most ``timeout`` seconds."""
        with gevent.Timeout(timeout, False):
            self.execute("PING")

    def _enqueue(self, commands: Sequence[RedisCommand], deadline: float = float("inf")) -> list[AsyncResult]:
        resync = gevent.getcurrent() is self._resync_greenlet
        calls = [PendingCommand(command, AsyncResult(), deadline, resync) for command in commands]
        (self._priority_queue if resync else self._queue).extend(calls)
        self._wakeup.set()
        return [call.result for call in calls if call.result is not None]

    def _reply_of(self, script: LuaScript, result: AsyncResult, command: RedisCommand) -> Any:
        try:
            return result.get()
        except redis.exceptions.NoScriptError:
            return self.execute("EVAL", script.source, *command[2:])

    def _write_for_ever(self) -> None:
        while True:
            self._wakeup.wait()
            batch: list[PendingCommand] = []
            try:
                connection = self._connection or self._connect()
                self._wakeup.clear()
                batch = self._next_batch()
                rejection = self._exchange(connection, batch)
            except (redis.RedisError, OSError) as error:
                self._on_disconnect(batch, error)
                gevent.sleep(self._backoff.next_delay())
                continue
            if rejection is not None:
                self._requeue(batch)
                self._outage.mark_down("calls", rejection)
                gevent.sleep(self._backoff.next_delay())
            if any(self._active_queues()):
                self._wakeup.set()

    def _connect(self) -> Connection:
        connection = connect(self._pool)
        connection.send_command("INFO", "server")
        self.run_id = _run_id(connection.read_response())
        self._connection = connection
        self.connected.set()
        if self._resync_greenlet is not None:
            self._resync_greenlet.kill(block=False)
        self._resync_greenlet = gevent.spawn(self._resync, self.run_id)
        return connection

    def _resync(self, run_id: str) -> None:
        if run_id != self._synced_run_id:
            self.on_server_changed()
        self._synced_run_id = (
            run_id  # only now: after a connection that breaks during the resync, the next one repeats it
        )
        self._resync_greenlet = None
        self._wakeup.set()
        self.on_connect()

    def _active_queues(self) -> list[deque[PendingCommand]]:
        """The queues that are served; during a resync only the priority queue."""
        return [self._priority_queue] if self._resync_greenlet is not None else [self._priority_queue, self._queue]

    def _next_batch(self) -> list[PendingCommand]:
        now, batch, taken = monotonic(), list[PendingCommand](), 0
        for queue in self._active_queues():
            while queue and taken < MAX_BATCH:
                call, taken = queue.popleft(), taken + 1
                if call.expires > now:
                    batch.append(call)
                elif call.result is not None:
                    call.result.set_exception(DeadlineExceeded())
        return batch

    def _exchange(self, connection: Connection, batch: list[PendingCommand]) -> redis.ResponseError | None:
        """Send a batch and deliver its replies. A call is removed from the batch once it is settled.

        Calls that the server cannot execute at present stay in the batch; the server's error is returned.
        """
        if not batch:
            return None
        send(connection, [call.command for call in batch])
        rejection: redis.ResponseError | None = None
        retries: list[PendingCommand] = []
        while batch:
            try:
                reply: Any = connection.read_response()
            except redis.ResponseError as error:
                reply = error
            call = batch.pop(0)
            if isinstance(reply, redis.ResponseError) and _is_retryable(reply):
                rejection = reply
                retries.append(call)
            else:
                _deliver_reply(call, reply)
        batch.extend(retries)
        if isinstance(rejection, redis.exceptions.ReadOnlyError):
            raise redis.ConnectionError(f"this server is a replica now: {rejection}")
        if rejection is None:
            self._backoff.reset()
            self._outage.mark_up("calls")
        return rejection

    def _on_disconnect(self, batch: list[PendingCommand], error: Exception) -> None:
        self._disconnect()
        self._priority_queue.clear()  # the next server is resynced from the start
        self._requeue([call for call in batch if not call.resync])
        self._outage.mark_down("calls", error)

    def _requeue(self, batch: list[PendingCommand]) -> None:
        """Put calls back in front of their queues; calls without a waiting caller are dropped."""
        for call in reversed(batch):
            if call.result is not None:
                (self._priority_queue if call.resync else self._queue).appendleft(call)
        self._wakeup.set()

    def _disconnect(self) -> None:
        self.connected.clear()
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None


def _deliver_reply(call: PendingCommand, reply: Any) -> None:
    if call.result is None:
        if isinstance(reply, redis.ResponseError):
            log.error("Redis rejected %s: %s", call.command[0], reply)
    elif isinstance(reply, redis.ResponseError):
        call.result.set_exception(reply)
    else:
        call.result.set(reply)


def chunked(items: Iterable[T]) -> Iterator[list[T]]:
    """The items in lists of CHUNK_SIZE: other callers get their turn in between."""
    return batched(items, CHUNK_SIZE)


def _is_retryable(error: redis.ResponseError) -> bool:
    retryable = (redis.exceptions.ReadOnlyError, redis.exceptions.OutOfMemoryError, redis.exceptions.MasterDownError)
    return isinstance(error, retryable) or RETRYABLE.search(str(error)) is not None


def _run_id(info: bytes) -> str:
    found = re.search(rb"run_id:(\w+)", info)
    return found.group(1).decode() if found else ""
