"""Calls to Redis from many greenlets over one connection, written in batches; reconnects by itself.

Knows nothing of PyCloud: commands in, replies out. Needs a patched process (see app.py). What is published to the
cloud comes in through ``subscriber.py``.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha1
from itertools import islice
from time import monotonic
from typing import Any, TypeVar

import gevent
import redis
from gevent.event import AsyncResult, Event

from pycloud.transport.connection import PATIENCE, Connection, Outage, Pauses, connect, make_pool, send

log = logging.getLogger(__name__)

#: Bounds one batch, so that the first of a thousand callers does not wait for the last.
BATCH = 512
#: The server cannot do it now, and may later: the command has had no effect and is sent again. Before Redis 7 what a
#: script was refused stands within a longer message, behind a dash.
PASSING = re.compile(r"(?:^|-)(?:LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MISCONF|NOREPLICAS|BUSY|OOM)\b")

#: How many items one caller hands in together.
PAGE = 500

T = TypeVar("T")
Argument = str | bytes | int | float
Command = tuple[Argument, ...]


@dataclass(slots=True)
class Call:
    """A command on its way. ``result`` is None where nobody waits: then it is dropped when the connection is lost."""

    command: Command
    result: AsyncResult | None
    #: Not sent after this (monotonic seconds).
    expires: float = float("inf")
    #: Part of what a new server is told before anything else.
    telling: bool = False


class TooLate(Exception):
    """A call could not be sent in time, and was not sent at all (or to a server that did not answer)."""


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
        self._first: deque[Call] = deque()
        self._wanted = Event()
        self._connection: Connection | None = None
        self._pauses = Pauses()
        self._greenlet: gevent.Greenlet | None = None
        self._teller: gevent.Greenlet | None = None
        self.connected = Event()
        #: Called after each connect to another server than before, or to the same one started again. Until it returns,
        #: nobody's calls are served but its own: what the server has forgotten is told first.
        self.on_new_server: Callable[[], None] = lambda: None
        #: Called after each connect.
        self.on_connect: Callable[[], None] = lambda: None
        self.run_id = ""
        self._told = ""

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._wanted.set()
        self._greenlet = gevent.spawn(self._write_for_ever)

    def stop(self) -> None:
        """Close the connection. What still waits is given up with a ConnectionError."""
        gevent.killall([greenlet for greenlet in (self._greenlet, self._teller) if greenlet is not None])
        self._disconnect()
        for call in (*self._first, *self._waiting):
            if call.result is not None:
                call.result.set_exception(redis.ConnectionError("the connection to Redis is being closed"))
        self._waiting.clear()

    def call(self, *command: Argument) -> Any:
        """The server's reply, after however long that takes. Raises redis.ResponseError where it refuses."""
        return self.call_many([command])[0]

    def call_many(self, commands: Sequence[Command]) -> list[Any]:
        """The replies of several commands, in order; the first refusal is raised after all were carried out."""
        results = self._hand_in(commands)
        for result in results:
            result.wait()
        return [result.get() for result in results]

    def post(self, *command: Argument, valid: float | None = None) -> None:
        """Send without waiting for the reply; dropped without a connection, or if not sent within ``valid`` seconds."""
        if self.connected.is_set():
            expires = float("inf") if valid is None else monotonic() + valid
            self._first.append(Call(command, None, expires))
            self._wanted.set()

    def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument], *, until: float = float("inf")) -> Any:
        """Run a Lua script, loading it where the server does not know it (any more).

        Raises TooLate where it could not be sent by ``until`` (monotonic seconds).
        """
        return self.run_many(script, [(keys, args)], until=until)[0]

    def run_many(
        self,
        script: Script,
        runs: Sequence[tuple[Sequence[str], Sequence[Argument]]],
        *,
        until: float = float("inf"),
    ) -> list[Any]:
        """Run one script with many keys and arguments."""
        commands = [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in runs]
        results = self._hand_in(commands, until)
        return [self._reply_of(script, result, command) for result, command in zip(results, commands, strict=True)]

    def flush(self, timeout: float) -> None:
        """Wait until what was posted has been sent, at most ``timeout`` seconds."""
        with gevent.Timeout(timeout, False):
            self.call("PING")

    def _hand_in(self, commands: Sequence[Command], until: float = float("inf")) -> list[AsyncResult]:
        telling = gevent.getcurrent() is self._teller
        calls = [Call(command, AsyncResult(), until, telling) for command in commands]
        (self._first if telling else self._waiting).extend(calls)
        self._wanted.set()
        return [call.result for call in calls if call.result is not None]

    def _reply_of(self, script: Script, result: AsyncResult, command: Command) -> Any:
        try:
            return result.get()
        except redis.exceptions.NoScriptError:
            return self.call("EVAL", script.source, *command[2:])

    def _write_for_ever(self) -> None:
        while True:
            self._wanted.wait()
            batch: list[Call] = []
            try:
                connection = self._connection or self._connect()
                self._wanted.clear()
                batch = self._take_batch()
                refused = self._exchange(connection, batch)
            except (redis.RedisError, OSError) as error:
                self._lose(batch, error)
                gevent.sleep(self._pauses.take())
                continue
            if refused is not None:
                self._put_back(batch)
                self._outage.lost("calls", refused)
                gevent.sleep(self._pauses.take())
            if any(self._served()):
                self._wanted.set()

    def _connect(self) -> Connection:
        connection = connect(self._pool)
        connection.send_command("INFO", "server")
        self.run_id = _run_id(connection.read_response())
        self._connection = connection
        self.connected.set()
        if self._teller is not None:
            self._teller.kill(block=False)
        self._teller = gevent.spawn(self._tell, self.run_id)
        return connection

    def _tell(self, run_id: str) -> None:
        if run_id != self._told:
            self.on_new_server()
        self._told = run_id  # only now: a connection that breaks while it is told is followed by another telling
        self._teller = None
        self._wanted.set()
        self.on_connect()

    def _served(self) -> list[deque[Call]]:
        """The queues that are served; while a new server is told what it has forgotten, only that one."""
        return [self._first] if self._teller is not None else [self._first, self._waiting]

    def _take_batch(self) -> list[Call]:
        now, batch, taken = monotonic(), list[Call](), 0
        for queue in self._served():
            while queue and taken < BATCH:
                call, taken = queue.popleft(), taken + 1
                if call.expires > now:
                    batch.append(call)
                elif call.result is not None:
                    call.result.set_exception(TooLate())
        return batch

    def _exchange(self, connection: Connection, batch: list[Call]) -> redis.ResponseError | None:
        """Send a batch and hand out its replies. A call is taken off the batch once it is settled.

        Calls that the server cannot carry out just now stay in the batch; its reason is returned.
        """
        if not batch:
            return None
        send(connection, [call.command for call in batch])
        refused: redis.ResponseError | None = None
        again: list[Call] = []
        while batch:
            try:
                reply: Any = connection.read_response()
            except redis.ResponseError as error:
                reply = error
            call = batch.pop(0)
            if isinstance(reply, redis.ResponseError) and _is_passing(reply):
                refused = reply
                again.append(call)
            else:
                _settle(call, reply)
        batch.extend(again)
        if isinstance(refused, redis.exceptions.ReadOnlyError):
            raise redis.ConnectionError(f"this server is a replica now: {refused}")
        if refused is None:
            self._pauses.reset()
            self._outage.back("calls")
        return refused

    def _lose(self, batch: list[Call], error: Exception) -> None:
        self._disconnect()
        self._first.clear()  # the next server is told from the start
        self._put_back([call for call in batch if not call.telling])
        self._outage.lost("calls", error)

    def _put_back(self, batch: list[Call]) -> None:
        """To be sent again, in front of what waits; what nobody waits for is dropped."""
        for call in reversed(batch):
            if call.result is not None:
                (self._first if call.telling else self._waiting).appendleft(call)
        self._wanted.set()

    def _disconnect(self) -> None:
        self.connected.clear()
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None


def _settle(call: Call, reply: Any) -> None:
    if call.result is None:
        if isinstance(reply, redis.ResponseError):
            log.error("Redis refused %s: %s", call.command[0], reply)
    elif isinstance(reply, redis.ResponseError):
        call.result.set_exception(reply)
    else:
        call.result.set(reply)


def pages(items: Iterable[T]) -> Iterator[list[T]]:
    """The items, PAGE at a time: other callers get their turn in between."""
    rest = iter(items)
    while page := list(islice(rest, PAGE)):
        yield page


def _is_passing(error: redis.ResponseError) -> bool:
    passing = (redis.exceptions.ReadOnlyError, redis.exceptions.OutOfMemoryError, redis.exceptions.MasterDownError)
    return isinstance(error, passing) or PASSING.search(str(error)) is not None


def _run_id(info: bytes) -> str:
    found = re.search(rb"run_id:(\w+)", info)
    return found.group(1).decode() if found else ""
