"""Messages published to this node: one connection to Redis, and one greenlet that passes each message to its handler.

All channels share the connection, because their order counts: every node must receive the same heartbeats before the
same creates. A handler never blocks; long work belongs into a greenlet of its own. Independent of PyCloud: channel
names and handlers are arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import monotonic

import gevent
import redis
from gevent.event import Event

from pycloud.transport.connection import TIMEOUT, Backoff, Connection, OutageLog, ReplyReader, connect, make_pool

log = logging.getLogger(__name__)

#: Messages after which other greenlets get a turn, so that a flood does not block them.
YIELD_EVERY = 128

Handler = Callable[[bytes], None]


class Subscriber:
    """Subscribes to all channels over one connection and reconnects whenever that breaks."""

    def __init__(self, url: str, handlers: Mapping[str, Handler], outage: OutageLog) -> None:
        self._pool = make_pool(url, socket_timeout=None)
        self._handlers = {name.encode(): handler for name, handler in handlers.items()}
        self._outage = outage
        self._connection: Connection | None = None
        self._greenlet: gevent.Greenlet | None = None
        self.subscribed = Event()
        #: Called (in a greenlet of its own) after each subscription but the first: messages may have been missed.
        self.on_resubscribed: Callable[[], None] = lambda: None
        #: Called at once when a subscription is lost or given up: no messages are received from here on.
        self.on_disconnected: Callable[[], None] = lambda: None
        #: Called before each subscription with the time (monotonic seconds): later messages were published after it.
        self.on_subscribing: Callable[[float], None] = lambda _now: None

    def start(self) -> None:
        """Subscribe; returns at once, ``subscribed`` is set when the server has confirmed all channels."""
        self._greenlet = gevent.spawn(self._listen_for_ever)

    def stop(self) -> None:
        """Unsubscribe and close the connection."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._disconnect()

    def reconnect(self, reason: str) -> None:
        """Give up the connection, whatever the state of its socket, and build a new one."""
        if self.subscribed.is_set():
            self._outage.mark_down("subscription", reason)
            self._disconnect()

    def _listen_for_ever(self) -> None:
        backoff, first = Backoff(), True
        while True:
            try:
                reader = self._connect()
                backoff.reset()
                if not first:
                    gevent.spawn(self.on_resubscribed)
                first = False
                self._read(reader)
            except (redis.RedisError, OSError) as error:
                self._disconnect()
                self._outage.mark_down("subscription", error)
                gevent.sleep(backoff.next_delay())

    def _connect(self) -> ReplyReader:
        with gevent.Timeout(TIMEOUT, redis.TimeoutError("it accepts connections but does not respond")):
            connection = self._connection = connect(self._pool)
            self.on_subscribing(monotonic())
            reader, confirmed = ReplyReader(connection), 0
            connection.send_command("SUBSCRIBE", *self._handlers)
            while confirmed < len(self._handlers):
                for message in reader.read():
                    confirmed += message[0] == b"subscribe"
                    self._dispatch(message)
        self._outage.mark_up("subscription")
        self.subscribed.set()
        return reader

    def _read(self, reader: ReplyReader) -> None:
        handled = 0
        while True:
            messages = reader.read()
            for message in messages:
                self._dispatch(message)
            handled += len(messages)
            if handled >= YIELD_EVERY:
                handled = 0
                gevent.sleep(0)

    def _dispatch(self, message: list[bytes]) -> None:
        if message[0] != b"message":
            return
        try:
            self._handlers[message[1]](message[2])
        except Exception:
            # A handler reports errors in its input itself; an exception that escapes is a bug, and must not end the
            # loop.
            log.exception("a message on %s could not be handled", message[1].decode())

    def _disconnect(self) -> None:
        if self.subscribed.is_set():
            self.on_disconnected()
        self.subscribed.clear()
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None
