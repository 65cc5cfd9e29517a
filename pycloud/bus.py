"""Calls to Redis from many greenlets over one connection, written in batches; reconnects by itself.

Knows nothing of PyCloud: commands in, replies out. Needs a patched process (see app.py). What is published to the
cloud comes in through ``subscriber.py``.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

import gevent
import redis
from gevent.event import AsyncResult, Event

from pycloud.connections import PATIENCE, Connection, Outage, Pauses, connect, make_pool

log = logging.getLogger(__name__)

#: Bounds one batch, so that the first of a thousand callers does not wait for the last.
BATCH = 512
#: The server cannot do it now, and may later: the command has had no effect and is sent again.
PASSING = re.compile(r"^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MISCONF|NOREPLICAS|BUSY|OOM)\b")

Argument = str | bytes | int | float
Command = tuple[Argument, ...]


@dataclass(slots=True)
class Call:
    """A command on its way. ``result`` is None where nobody waits: then it is dropped when the connection is lost."""

    command: Command
    result: AsyncResult | None


class Script:
    """A Lua script, known to the server by the SHA-1 of its source."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()


class Bus:
    """One connection that greenlets hand their commands to.

    Every command given to ``call`` may reach the server more than once (when a connection breaks, nobody knows what
    was carried out): hand in only what may be repeated.
    """

    def __init__(self, url: str, outage: Outage) -> None:
        self._pool = make_pool(url, socket_timeout=PATIENCE)
        self._outage = outage
        outage.on_suspicion = lambda: self.post("PING")
        self._waiting: deque[Call] = deque()
        self._wanted = Event()
        self._connection: Connection | None = None
        self._pauses = Pauses()
        self._greenlet: gevent.Greenlet | None = None
        self.connected = Event()
        #: Called (in a greenlet of its own) after each connect; the argument tells whether the server is another one.
        self.on_connect: Callable[[bool], None] = lambda _other_server: None
        self.run_id = ""
        self.why_not = "not tried yet"

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._wanted.set()
        self._greenlet = gevent.spawn(self._write_for_ever)

    def stop(self) -> None:
        """Close the connection. What still waits is given up with a ConnectionError."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._disconnect()
        for call in self._waiting:
            if call.result is not None:
                call.result.set_exception(redis.ConnectionError("the connection to Redis is being closed"))
        self._waiting.clear()

    def call(self, *command: Argument) -> Any:
        """The server's reply, after however long that takes. Raises redis.ResponseError where it refuses."""
        return self.call_many([command])[0]

    def call_many(self, commands: Sequence[Command]) -> list[Any]:
        """The replies of several commands, in order; the first refusal is raised after all were carried out."""
        calls = [Call(command, AsyncResult()) for command in commands]
        self._waiting.extend(calls)
        self._wanted.set()
        return [call.result.get() for call in calls if call.result is not None]

    def post(self, *command: Argument) -> None:
        """Send without waiting for the reply; dropped while there is no connection."""
        if self.connected.is_set():
            self._waiting.append(Call(command, None))
            self._wanted.set()

    def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run a Lua script, loading it where the server does not know it (any more)."""
        rest = (len(keys), *keys, *args)
        try:
            return self.call("EVALSHA", script.sha, *rest)
        except redis.exceptions.NoScriptError:
            return self.call("EVAL", script.source, *rest)

    def run_many(self, script: Script, runs: Sequence[tuple[Sequence[str], Sequence[Argument]]]) -> list[Any]:
        """Run one script with many keys and arguments: the first loads it, the others follow in one batch."""
        if not runs:
            return []
        first = self.run(script, *runs[0])
        return [first, *self.call_many([("EVALSHA", script.sha, len(k), *k, *a) for k, a in runs[1:]])]

    def flush(self, timeout: float) -> None:
        """Wait until what was posted has been sent, at most ``timeout`` seconds."""
        with gevent.Timeout(timeout, False):
            self.call("PING")

    def _write_for_ever(self) -> None:
        while True:
            self._wanted.wait()
            batch: list[Call] = []
            try:
                connection = self._connection or self._connect()
                self._wanted.clear()
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                self._exchange(connection, batch)
                if self._waiting:
                    self._wanted.set()
            except (redis.RedisError, OSError) as error:
                self._lose(batch, error)
                gevent.sleep(self._pauses.take())

    def _connect(self) -> Connection:
        connection = connect(self._pool)
        connection.send_command("INFO", "server")
        run_id = _run_id(connection.read_response())
        other, self.run_id = run_id != self.run_id, run_id
        self._connection = connection
        self._pauses.reset()
        self._outage.back("calls")
        self.connected.set()
        gevent.spawn(self.on_connect, other)
        return connection

    def _exchange(self, connection: Connection, batch: list[Call]) -> None:
        """Send a batch and hand out its replies; a call is taken off the batch once it is answered."""
        if not batch:
            return
        connection.send_packed_command(connection.pack_commands([call.command for call in batch]), check_health=False)
        again: list[Call] = []
        while batch:
            try:
                reply: Any = connection.read_response()
            except redis.ResponseError as error:
                reply = error
            call = batch.pop(0)
            if not self._settle(call, reply):
                again.append(call)
        if again:
            batch.extend(again)
            raise redis.ConnectionError("the server cannot carry out commands at the moment")

    def _settle(self, call: Call, reply: Any) -> bool:
        """False where the command is to be sent again."""
        if isinstance(reply, redis.ResponseError):
            if _is_passing(reply):
                return False
            if call.result is None:
                log.error("Redis refused %s: %s", call.command[0], reply)
            else:
                call.result.set_exception(reply)
        elif call.result is not None:
            call.result.set(reply)
        return True

    def _lose(self, batch: list[Call], error: Exception) -> None:
        self._disconnect()
        self.why_not = str(error)
        self._waiting.extendleft(call for call in reversed(batch) if call.result is not None)
        self._wanted.set()
        self._outage.lost("calls", error)

    def _disconnect(self) -> None:
        self.connected.clear()
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None


def _is_passing(error: redis.ResponseError) -> bool:
    passing = (redis.exceptions.ReadOnlyError, redis.exceptions.OutOfMemoryError, redis.exceptions.MasterDownError)
    return isinstance(error, passing) or PASSING.match(str(error)) is not None


def _run_id(info: bytes) -> str:
    found = re.search(rb"run_id:(\w+)", info)
    return found.group(1).decode() if found else ""
