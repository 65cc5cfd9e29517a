"""What this node does about a request, decided from what it knows at one moment. Pure."""

from __future__ import annotations

from enum import Enum

import msgspec

from pycloud.cluster.membership import Assessment
from pycloud.errors import NoMatch, RequestError
from pycloud.protocol.decoding import RejectedRequest
from pycloud.protocol.received import EXPIRED_CLAIM, ReceivedRequest
from pycloud.protocol.requests import CreateRequest

NO_MATCHING_NODE = NoMatch("no matching node received this create; send it again")
NOT_MATCHING = NoMatch("this node does not have the id or the labels that the request requires (`cloud`, `where`)")


class When(Enum):
    """When a node carries its action out. ``DEFER_LONGEST``: after the longest delay, and then certainly."""

    NOW = "now"
    DEFER = "defer"
    DEFER_LONGEST = "defer longest"
    NEVER = "never"


class Action(Enum):
    """What the node does that handles a request.

    ``FORWARD``: no node that matches received the create, although one exists by now, so it is sent to that one.
    """

    CREATE = "create"
    REJECT = "reject"
    ANSWER_FOR_OWNER = "answer for the owner"
    FORWARD = "forward"


class Decision(msgspec.Struct, frozen=True):
    """What this node does, and when. ``position``: among the nodes that handle the request; ``error``: of REJECT."""

    when: When
    action: Action
    position: int | None = None
    error: RequestError | None = None


def decide(
    received: ReceivedRequest, assessment: Assessment, local_error: RequestError | None, resyncing: bool
) -> Decision:
    """The decision about a request that is not about one of this node's own sessions.

    ``local_error``: why this node cannot carry out a create that was sent to it alone. ``resyncing``: Redis was
    restarted, and may not know yet what the nodes have answered.
    """
    action, error = _choose_action(received, assessment, local_error)
    return Decision(_choose_time(received, assessment, resyncing), action, assessment.position, error)


def _choose_action(
    received: ReceivedRequest, assessment: Assessment, local_error: RequestError | None
) -> tuple[Action, RequestError | None]:
    request, source = received.request, received.source
    if isinstance(request, RejectedRequest):
        return Action.REJECT, request.error
    if request.names_session:
        return Action.ANSWER_FOR_OWNER, None
    if source.direct:
        error = local_error if assessment.matches else NOT_MATCHING
    elif assessment.error is None and not assessment.matches and source.deferred:
        return Action.FORWARD, None
    else:
        error = assessment.error or (None if assessment.matches else NO_MATCHING_NODE)
    return (Action.CREATE, None) if error is None else (Action.REJECT, error)


def _choose_time(received: ReceivedRequest, assessment: Assessment, resyncing: bool) -> When:
    if assessment.too_early or (resyncing and _unsafe_before_resync(received)):
        return When.DEFER_LONGEST
    if received.source.act_now:
        # Another node owns the session and is alive: it answers.
        return When.NEVER if assessment.position is None and received.session_id else When.NOW
    if assessment.position == 0 and assessment.confirmed:
        return When.NOW
    return When.NEVER if received.source is EXPIRED_CLAIM else When.DEFER


def _unsafe_before_resync(received: ReceivedRequest) -> bool:
    """Whether it could make a second session before Redis knows again what runs: by its id, or by its name."""
    request, source = received.request, received.source
    if not isinstance(request, CreateRequest) or source.expired_claim:
        return False
    return source.may_have_been_answered or request.name is not None
