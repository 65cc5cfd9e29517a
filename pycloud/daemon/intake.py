"""What comes in over the channels: decoded and handed to the router; what cannot be answered is counted and dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from pycloud.cluster.deferred_requests import Kept
from pycloud.daemon.dropped import Dropped
from pycloud.daemon.router import Heard, Router
from pycloud.protocol.decoding import DecodeError, Refused, decode_direct, read_request
from pycloud.protocol.keys import Names
from pycloud.protocol.messages import REQUESTS, Request
from pycloud.transport.subscriber import Handler

log = logging.getLogger(__name__)

#: What every cloud listens to.
BROADCAST = tuple(op for op, kind in REQUESTS.items() if not kind.direct_only)


class Intake:
    """The handlers of the request channels. ``max_script_bytes`` is the cloud's limit."""

    def __init__(self, router: Router, names: Names, max_script_bytes: int) -> None:
        self._router, self._names, self._limit = router, names, max_script_bytes
        self.dropped = Dropped()
        #: True: take nothing (another daemon uses our id).
        self.closed = False

    def handlers(self, cloud: str) -> dict[str, Handler]:
        """A handler for each channel; ``cloud`` is our own id."""
        broadcast = {
            self._names.request_channel(op): partial(self._take, Heard.PUBLISHED, partial(read_request, op))
            for op in BROADCAST
        }
        return {**broadcast, self._names.cloud_channel(cloud): partial(self._take, Heard.DIRECTLY, decode_direct)}

    def take_lapsed(self, op: str, payload: bytes, *, ours: bool) -> None:
        """A request that was claimed by a cloud which fell silent; ``ours``: by an earlier daemon of this cloud."""
        self._take(Heard.LAPSED_OURS if ours else Heard.LAPSED, partial(read_request, op), payload)

    def take_unclaimed(self, kept: Kept) -> None:
        """A request that nobody claimed who was expected to."""
        ours = Heard.REPEAT_LEFT_TO_US if kept.repeat else Heard.LEFT_TO_US
        heard = ours if kept.ours else Heard.LEFT
        self._take(heard, partial(read_request, kept.op), kept.payload, kept)

    def _take(
        self, heard: Heard, decode: Callable[[bytes, int], Request], payload: bytes, kept: Kept | None = None
    ) -> None:
        if self.closed:
            return
        try:
            item: Request | Refused = decode(payload, self._limit)
        except DecodeError as error:
            self.dropped.drop(error.kind, heard.words, str(error))
            return
        except Refused as refused:
            item = refused
        if kept is None:
            self._router.route(item, payload, heard)
        else:
            self._router.route(item, payload, heard, kept.round + 1, kept.came)
