"""What is published to this cloud: one connection to Redis, and a greenlet for each channel.

Knows nothing of PyCloud: channel names and handlers are handed in. A handler that takes long stops its own channel
only; what takes long belongs into a greenlet of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import gevent
import redis
from gevent.event import Event
from gevent.queue import Queue

from pycloud.connections import PATIENCE, Connection, Outage, Pauses, connect, make_pool

log = logging.getLogger(__name__)

#: Messages of one channel that wait for its handler; beyond that the server is left to wait.
BACKLOG = 65536
#: After so many messages at once the others get a turn: a flood never fills the socket's reader for long.
TURN = 64

Handler = Callable[[bytes], None]


class Channel:
    """One subscription: a queue, and the greenlet that hands its messages to the handler one after the other."""

    def __init__(self, name: str, handler: Handler) -> None:
        self.name, self._handler = name, handler
        self._queue: Queue[bytes] = Queue(BACKLOG)
        self._greenlet = gevent.spawn(self._serve)

    def put(self, payload: bytes) -> None:
        """A message has come in."""
        self._queue.put(payload)

    def stop(self) -> None:
        """Handle nothing more."""
        self._greenlet.kill()

    def _serve(self) -> None:
        for payload in self._queue:
            try:
                self._handler(payload)
            except Exception:
                # A handler decides what is wrong with its input; what escapes it is a bug, and must not end the loop.
                log.exception("a message on %s could not be handled", self.name)


class Subscriber:
    """Listens on all channels over one connection and builds a new one whenever that breaks."""

    def __init__(self, url: str, handlers: Mapping[str, Handler], outage: Outage) -> None:
        self._pool = make_pool(url, socket_timeout=None)
        self._handlers = dict(handlers)
        self._outage = outage
        self._channels: dict[bytes, Channel] = {}
        self._connection: Connection | None = None
        self._greenlet: gevent.Greenlet | None = None
        self.subscribed = Event()
        #: Called (in a greenlet of its own) after each subscription but the first: messages may have been missed.
        self.on_gap: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Subscribe; returns at once, ``subscribed`` is set when the server has confirmed all channels."""
        self._channels = {name.encode(): Channel(name, handler) for name, handler in self._handlers.items()}
        self._greenlet = gevent.spawn(self._listen_for_ever)

    def stop(self) -> None:
        """Take in nothing more."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._disconnect()
        for channel in self._channels.values():
            channel.stop()

    def renew(self, reason: str) -> None:
        """Give up the connection, whatever its socket says, and build a new one."""
        if self.subscribed.is_set():
            self._outage.lost("subscription", reason)
            self._disconnect()

    def _listen_for_ever(self) -> None:
        pauses, first = Pauses(), True
        while True:
            try:
                connection = self._connect()
                pauses.reset()
                if not first:
                    gevent.spawn(self.on_gap)
                first = False
                self._read(connection)
            except (redis.RedisError, OSError) as error:
                self._disconnect()
                self._outage.lost("subscription", error)
                gevent.sleep(pauses.take())

    def _connect(self) -> Connection:
        connection = self._connection = connect(self._pool)
        connection.send_command("SUBSCRIBE", *self._channels)
        with gevent.Timeout(PATIENCE, redis.TimeoutError("no answer to SUBSCRIBE")):
            for _ in self._channels:
                self._dispatch(connection.read_response())
        self._outage.back("subscription")
        self.subscribed.set()
        return connection

    def _read(self, connection: Connection) -> None:
        while True:
            for _ in range(TURN):
                self._dispatch(connection.read_response())
            gevent.sleep(0)

    def _dispatch(self, message: list[bytes]) -> None:
        if message[0] == b"message":
            self._channels[message[1]].put(message[2])

    def _disconnect(self) -> None:
        self.subscribed.clear()
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None
