"""What comes in over the channels: decoded, and handed to the cloud; what cannot be answered is counted and dropped.

A status of one of our own sessions is answered on the spot; everything else gets a greenlet of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent.pool import Group

from pycloud.cloud import Cloud
from pycloud.decoding import DecodeError, Refused, decode_direct, decode_request
from pycloud.dropped import Dropped
from pycloud.messages import CreateRequest, LogsRequest, RemoveRequest, Request, StatusRequest
from pycloud.names import Names
from pycloud.subscriber import Handler

log = logging.getLogger(__name__)

#: What every cloud listens to.
BROADCAST = (CreateRequest.op, StatusRequest.op, RemoveRequest.op)


class Intake:
    """The handlers of the request channels. ``max_script_bytes`` is the cloud's limit."""

    def __init__(self, cloud: Cloud, names: Names, max_script_bytes: int) -> None:
        self._cloud, self._names, self._limit = cloud, names, max_script_bytes
        self._work = Group()
        self.dropped = Dropped()

    def handlers(self) -> dict[str, Handler]:
        """A handler for each channel."""
        direct = self._names.cloud_channel(self._cloud.identity.id)
        broadcast = {self._names.request_channel(op): partial(self.take, op) for op in BROADCAST}
        return {**broadcast, direct: self.take_direct}

    def take(self, op: str, payload: bytes) -> None:
        """A request that was published for all clouds."""
        self._take(self._names.request_channel(op), payload, partial(decode_request, op))

    def take_direct(self, payload: bytes) -> None:
        """A request that was published for this cloud alone."""
        self._take("the direct channel", payload, decode_direct)

    def take_over(self) -> None:
        """Carry out the requests that were claimed by clouds which fell silent."""
        for op, request_id, payload in self._cloud.registry.lapsed():
            if payload is None:
                self._cloud.registry.forget_claim(op, request_id)
            elif not self._cloud.claims.holds(op, request_id):
                log.warning("taking over %s %.80r: the cloud that claimed it fell silent", op, request_id)
                self.take(op, payload)

    def finish(self, timeout: float) -> bool:
        """Wait for what is being worked on, at most ``timeout`` seconds; False where something is left."""
        self._work.join(timeout)
        return not self._work

    def _take(self, channel: str, payload: bytes, decode: Callable[[bytes, int], Request]) -> None:
        try:
            request = decode(payload, self._limit)
        except DecodeError as error:
            self.dropped.drop(error.kind, channel, str(error))
        except Refused as refused:
            self._spawn(self._cloud.refuse, refused, payload)
        else:
            self._dispatch(request, payload)

    def _dispatch(self, request: Request, payload: bytes) -> None:
        if isinstance(request, StatusRequest):
            if not self._cloud.status(request):
                self._spawn(self._cloud.absent, request, payload)
        elif isinstance(request, CreateRequest):
            self._spawn(self._cloud.create, request, payload)
        elif isinstance(request, RemoveRequest):
            self._spawn(self._cloud.remove, request, payload)
        elif isinstance(request, LogsRequest):
            self._spawn(self._cloud.logs, request)

    def _spawn(self, work: Callable[..., Any], *args: Any) -> None:
        self._work.start(gevent.Greenlet(self._guarded, work, *args))

    def _guarded(self, work: Callable[..., Any], *args: Any) -> None:
        try:
            work(*args)
        except Exception:
            # A bug or a refusal of Redis: said with its place, and the other requests go on.
            log.exception("a request could not be carried out")
