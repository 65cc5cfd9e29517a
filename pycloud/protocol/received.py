"""A request as a node received it: where it came from, and until when the node may act on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import msgspec

from pycloud.protocol.decoding import RejectedRequest
from pycloud.protocol.requests import Request


@dataclass(frozen=True)
class Source:
    """How a request reached this node. ``description`` is for the log.

    ``fresh``: it was broadcast just now, so the node that takes it will be loaded with it. ``direct``: it was sent to
    this node alone. ``act_now``: this node acts at once, whatever its position among the nodes. ``repeat``: it was
    received before. ``may_have_been_answered``: by a response that a restarted Redis has forgotten. ``expired_claim``:
    a node claimed it and did not finish. ``deferred``: no node claimed it in time. ``replay_interval``: a stored
    response is published again unless that was done within so many seconds; None: it is not published again while it is
    new.
    """

    description: str
    fresh: bool = False
    direct: bool = False
    act_now: bool = False
    repeat: bool = False
    may_have_been_answered: bool = False
    expired_claim: bool = False
    deferred: bool = False
    replay_interval: float | None = None


PUBLISHED = Source("a request channel", fresh=True)
REPEATED = Source("a request channel, as a repeat", repeat=True, may_have_been_answered=True, replay_interval=0.0)
DIRECT = Source("the direct channel", direct=True, act_now=True, replay_interval=0.0)
#: All nodes check expired claims, so the one that comes first acts.
EXPIRED_CLAIM = Source("the expired claims", expired_claim=True)
#: This node held the claim: after a restart of Redis no other node may finish the request.
OWN_EXPIRED_CLAIM = Source("this node's expired claims", expired_claim=True, act_now=True)
DEFERRED = Source("the deferred requests", deferred=True, may_have_been_answered=True)
DEFERRED_OUR_TURN = Source(
    "the deferred requests, as the next node", deferred=True, act_now=True, may_have_been_answered=True
)
#: A repeat to which the first response may not have been published again.
DEFERRED_REPEAT_OUR_TURN = Source(
    "the deferred requests, as next, as a repeat",
    deferred=True,
    act_now=True,
    repeat=True,
    may_have_been_answered=True,
    replay_interval=1.0,
)


class ReceivedRequest(msgspec.Struct, frozen=True):
    """A request with its payload and source; times are monotonic seconds.

    After ``fresh_until`` its requester may have stopped waiting: an error that was given meanwhile is not retried for
    it. After ``valid_until`` a node does not start it: another may have answered it, and Redis forgotten that.
    ``deferrals``: how often it was deferred before.
    """

    request: Request | RejectedRequest
    payload: bytes
    source: Source
    fresh_until: float = float("inf")
    valid_until: float = float("inf")
    deferrals: int = 0

    @property
    def session_id(self) -> str:
        """The session that a valid request is about; empty where it names none, or where it was rejected."""
        return "" if isinstance(self.request, RejectedRequest) else self.request.session_id

    def again(self, source: Source) -> Self:
        """The same request, after one more deferral."""
        return msgspec.structs.replace(self, source=source, deferrals=self.deferrals + 1)
