"""Sends one request and waits for its response: subscribes first, and publishes again while no response comes.

Blocking, one request per ``Exchange``. Decides when to repeat and when to give up; ``transport/blocking.py`` does the
I/O. Repeating is safe because nodes treat the same id as the same request, however often it is received.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from pycloud.client.errors import NoAnswer, NoCloud, RedisLost
from pycloud.client.records import any_node_alive, is_node_alive
from pycloud.client.request import ClientRequest
from pycloud.errors import RedisUnavailable
from pycloud.protocol.keys import Keys
from pycloud.protocol.messages import Event
from pycloud.protocol.requests import CreateRequest, DrainRequest, RemoveRequest
from pycloud.transport.blocking import (
    UNCONFIRMED_SUBSCRIPTION,
    ConnectionLost,
    DeadlineConnection,
    DeadlineConnectionPool,
    NotReachable,
)

#: Seconds between the publishes of a request without a response: 1, 2, 4, and then always this.
MAX_RESEND_DELAY = 8.0
#: Seconds after which a step that Redis itself answers counts as lost, and is tried over a new connection.
REDIS_TIMEOUT = 3.0
#: Seconds between attempts to reconnect: doubling from the first to the second.
INITIAL_BACKOFF, MAX_BACKOFF = 0.1, 1.0
#: Seconds before the deadline in which nothing new is begun: a timeout in them would be attributed to Redis.
RESEND_CUTOFF = 0.05

OnProgress = Callable[[Event], None]

NO_NODE_MESSAGE = (
    "no node is online. Check that pycloud is running, and that it uses this Redis (--redis, PYCLOUD_REDIS_URL) "
    "and this namespace (--namespace, PYCLOUD_NAMESPACE)"
)


def resend_delay(attempt: int) -> float:
    """Seconds to wait for a response after publish number ``attempt`` (from 0) before the next."""
    return min(2.0**attempt, MAX_RESEND_DELAY)


def backoff(losses: int) -> float:
    """Seconds to wait after loss number ``losses`` (from 0) of the connection."""
    return min(INITIAL_BACKOFF * 2.0**losses, MAX_BACKOFF)


class Exchange:
    """Carries out one request, for ``timeout`` seconds after its start or its last progress message.

    ``on_progress`` is called with each progress message (``session.pulling``).

    Subscribes on a connection of ``subscribe_pool`` and publishes on one of ``command_pool``: messages may still arrive
    on a connection that was subscribed once, so that it cannot be used for commands.
    """

    def __init__(
        self,
        subscribe_pool: DeadlineConnectionPool,
        command_pool: DeadlineConnectionPool,
        keys: Keys,
        request: ClientRequest,
        timeout: float,
        on_progress: OnProgress,
    ) -> None:
        self._subscribe_pool, self._command_pool, self._keys, self._request = (
            subscribe_pool,
            command_pool,
            keys,
            request,
        )
        self._timeout, self._deadline, self._on_progress = timeout, time.monotonic() + timeout, on_progress
        self._channel = keys.response_channel(request.op, request.id)
        # The response channel comes last: when its subscription is confirmed, all are.
        progress = [keys.progress_channel(request.id)] if request.op == CreateRequest.op else []
        self._channels = [*progress, self._channel]
        self._publish_count = 0
        self._losses = 0

    def run(self) -> bytes:
        """The first response, as received.

        Raises NoCloud, NoAnswer, or RedisUnavailable: at once where Redis cannot be reached at the start, at the
        deadline where it was lost later (RedisLost where the request had been published by then).
        """
        try:
            return self._run_with_reconnects()
        except RedisUnavailable as error:
            if not self._publish_count:
                raise
            raise RedisLost(self._describe_unsettled(error.message), self._request.id) from error

    def _run_with_reconnects(self) -> bytes:
        while True:
            try:
                with (
                    self._subscribe_pool.connection(self._deadline) as subscriber,
                    self._command_pool.connection(self._deadline) as publisher,
                ):
                    response = self._attempt(subscriber, publisher)
                    self._unsubscribe(subscriber)
                    return response
            except NotReachable as error:
                self._back_off_or_raise(error, fatal=not self._publish_count and not self._losses)
            except ConnectionLost as error:
                self._back_off_or_raise(error)

    def _back_off_or_raise(self, error: NotReachable | ConnectionLost, *, fatal: bool = False) -> None:
        remaining = self._deadline - time.monotonic()
        if fatal or remaining <= 0:
            raise error
        time.sleep(min(backoff(self._losses), remaining))
        self._losses += 1

    def _attempt(self, subscriber: DeadlineConnection, publisher: DeadlineConnection) -> bytes:
        while True:
            # Subscribing again each time also proves that the subscription is still valid.
            if (response := self._subscribe(subscriber)) is not None:
                return response
            self._publish(publisher)
            listen_deadline = self._listen_deadline(time.monotonic())
            if (response := self._listen(subscriber, listen_deadline)) is not None:
                return response
            if listen_deadline == self._deadline:
                raise NoAnswer(
                    self._describe_unsettled(f"no response to request {self._request.id} within {self._timeout:g} s"),
                    self._request.id,
                )

    def _publish(self, publisher: DeadlineConnection) -> None:
        channel = self._target_channel(publisher)
        try:
            publisher.execute(self._step_deadline(), ("PUBLISH", channel, self._request.payload))
        except ConnectionLost:
            self._publish_count += 1  # it may have been published despite the error
            raise
        self._publish_count += 1

    def _listen_deadline(self, now: float) -> float:
        """The time until which to wait before the next publish; the deadline where there will be none."""
        resend_at = now + resend_delay(self._publish_count - 1)
        return resend_at if resend_at < self._deadline - RESEND_CUTOFF else self._deadline

    def _subscribe(self, subscriber: DeadlineConnection) -> bytes | None:
        """Returns None when the server has confirmed the subscription, or a response that came before that."""
        deadline = self._step_deadline()
        subscriber.send(deadline, ("SUBSCRIBE", *self._channels))
        while (message := subscriber.read_message(deadline)) is not None:
            if message[:2] == [b"subscribe", self._channel.encode()]:
                return None
            if self._is_response(message):
                return bytes(message[2])
        raise ConnectionLost(UNCONFIRMED_SUBSCRIPTION)

    def _listen(self, subscriber: DeadlineConnection, deadline: float) -> bytes | None:
        """The next response; None where none came before ``deadline``."""
        while (message := subscriber.read_message(deadline)) is not None:
            if self._is_response(message):
                return bytes(message[2])
            if message[:2] == [b"message", self._channels[0].encode()]:
                self._extend_deadline(message[2])
        return None

    def _extend_deadline(self, payload: object) -> None:
        """Restart the timeout, as a progress message shows that the request is being carried out."""
        try:
            event = msgspec.json.decode(bytes(payload), type=Event)  # type: ignore[call-overload]
        except (msgspec.DecodeError, RecursionError):
            return  # not sent by a node
        self._deadline = max(self._deadline, time.monotonic() + self._timeout)
        self._on_progress(event)

    def _is_response(self, message: list[object]) -> bool:
        return message[:2] == [b"message", self._channel.encode()]

    def _unsubscribe(self, subscriber: DeadlineConnection) -> None:
        try:
            # The confirmation is not read: the next request on this connection skips messages of other channels.
            subscriber.send(self._step_deadline(), ("UNSUBSCRIBE", *self._channels))
        except RedisUnavailable:
            subscriber.close()  # the response is here, and a closed connection opens again when it is needed

    def _target_channel(self, publisher: DeadlineConnection) -> str:
        """The channel for the next publish. Raises NoCloud where no node could answer."""
        request, first = self._request, not self._publish_count
        if (
            request.owner
            and (first or request.direct_only)
            and is_node_alive(publisher, self._keys, request.owner, self._step_deadline())
        ):
            return self._keys.node_channel(request.owner)
        if request.owner and request.direct_only:
            return self._direct_channel(request.owner)
        # Only before the first publish: after it, a node that restarts, or sends its heartbeat again, is worth waiting
        # for.
        if first and not any_node_alive(publisher, self._keys, self._step_deadline()):
            raise NoCloud(NO_NODE_MESSAGE)
        return self._keys.request_channel(request.op)

    def _direct_channel(self, owner: str) -> str:
        if not self._publish_count:
            which = "" if self._request.op == DrainRequest.op else ", which owns this session,"
            raise NoCloud(f"node {owner}{which} is offline, and only it can answer this; try again when it is back")
        return self._keys.node_channel(owner)

    def _step_deadline(self) -> float:
        return min(self._deadline, time.monotonic() + REDIS_TIMEOUT)

    def _describe_unsettled(self, reason: str) -> str:
        """The reason, and its consequence for the request."""
        if not self._request.has_side_effects:
            return reason
        more = f"{reason}; the request may still be carried out"
        if self._request.op == RemoveRequest.op:
            more += ". Ending a session takes up to its node's stop_grace, so a longer timeout may help"
        return more
