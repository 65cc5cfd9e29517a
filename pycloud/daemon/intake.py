"""Receives requests from the channels, decodes them and hands them to the router.

A request that cannot be answered is counted and dropped: logged once per kind and minute, never with its payload.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import monotonic

from pycloud.daemon.router import Router
from pycloud.protocol.decoding import DecodeError, RejectedRequest, decode_broadcast, decode_direct
from pycloud.protocol.keys import Keys
from pycloud.protocol.received import DIRECT, EXPIRED_CLAIM, OWN_EXPIRED_CLAIM, PUBLISHED, Source
from pycloud.protocol.requests import REQUESTS, Request
from pycloud.transport.subscriber import Handler

log = logging.getLogger(__name__)

#: Seconds between two log lines about one kind.
LOG_INTERVAL = 60.0


class DropCounter:
    """Counts dropped messages by kind, and logs them. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._logged: dict[str, tuple[float, int]] = {}

    @property
    def total(self) -> int:
        """Number of messages dropped so far, of all kinds."""
        return self._counts.total()

    def add(self, kind: str, channel: str, reason: str) -> None:
        """Count one more of ``kind``, received on ``channel`` (words for the log)."""
        self._counts[kind] += 1
        now = self._clock()
        logged_at, logged_count = self._logged.get(kind, (float("-inf"), 0))
        if now - logged_at < LOG_INTERVAL:
            return
        suppressed = self._counts[kind] - logged_count - 1
        more = f" (and {suppressed} more of this kind since the last such line)" if suppressed else ""
        log.warning("dropped a request on %s: %s%s", channel, reason, more)
        self._logged[kind] = now, self._counts[kind]


#: Ops whose channels every node subscribes to.
BROADCAST_OPS = tuple(op for op, kind in REQUESTS.items() if not kind.direct_only)


class RequestReceiver:
    """The handlers of the request channels. ``max_script_bytes`` is this node's limit."""

    def __init__(self, router: Router, keys: Keys, max_script_bytes: int) -> None:
        self._router, self._keys, self._limit = router, keys, max_script_bytes
        self.dropped = DropCounter()

    def handlers(self, node: str) -> dict[str, Handler]:
        """A handler for each channel; ``node`` is this node's id."""
        broadcast = {
            self._keys.request_channel(op): partial(self._receive, PUBLISHED, partial(decode_broadcast, op))
            for op in BROADCAST_OPS
        }
        return {**broadcast, self._keys.node_channel(node): partial(self._receive, DIRECT, decode_direct)}

    def retry_expired_claim(self, op: str, payload: bytes, *, own: bool) -> None:
        """Handle a request whose claim expired; ``own``: this node held the claim, in this or an earlier daemon."""
        if op not in REQUESTS:
            return  # of a newer version: the nodes that know it take it over
        self._receive(OWN_EXPIRED_CLAIM if own else EXPIRED_CLAIM, partial(decode_broadcast, op), payload)

    def _receive(self, source: Source, decode: Callable[[bytes, int], Request], payload: bytes) -> None:
        try:
            request: Request | RejectedRequest = decode(payload, self._limit)
        except DecodeError as error:
            if not self._router.paused:
                self.dropped.add(error.kind, source.description, str(error))
            return
        except RejectedRequest as rejected:
            request = rejected
        self._router.route(request, payload, source)
