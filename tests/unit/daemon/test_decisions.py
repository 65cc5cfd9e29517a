"""What a node does about a request, and when: each line of the decision, from what the node knows at one moment."""

from __future__ import annotations

from typing import Any

import pytest

from pycloud.cluster.membership import Assessment
from pycloud.daemon.decisions import NO_MATCHING_NODE, NOT_MATCHING, Action, Decision, When, decide
from pycloud.errors import BadRequest, NoCapacity, NoMatch, RequestError
from pycloud.protocol import received as sources
from pycloud.protocol.decoding import RejectedRequest
from pycloud.protocol.received import ReceivedRequest, Source
from pycloud.protocol.requests import CreateRequest, RemoveRequest, Request, StatusRequest

CREATE, NAMED = CreateRequest("r", "script"), CreateRequest("r", "script", name="web")
STATUS, REMOVE = StatusRequest("r", "s" * 20), RemoveRequest("r", "s" * 20)
MALFORMED = RejectedRequest(CreateRequest, "r", "", "d", BadRequest("create: `script` is empty"))
NO_NODE = NoMatch("no living cloud has the label region=eu")


def assessed(**facts: Any) -> Assessment:
    """By default: this node is sure of what it knows, and comes first."""
    return Assessment(**{"confirmed": True, "confirmed_until": 2.0, "published_after": 0.0, "position": 0, **facts})


def decided(
    request: Request | RejectedRequest,
    source: Source = sources.PUBLISHED,
    local_error: RequestError | None = None,
    resyncing: bool = False,
    **facts: Any,
) -> Decision:
    return decide(ReceivedRequest(request, b"", source), assessed(**facts), local_error, resyncing)


@pytest.mark.parametrize(
    ("request_", "action"),
    [
        (CREATE, Action.CREATE),
        (STATUS, Action.ANSWER_FOR_OWNER),
        (REMOVE, Action.ANSWER_FOR_OWNER),
        (MALFORMED, Action.REJECT),
    ],
)
def test_a_node_that_comes_first_and_is_sure_of_it_acts_at_once(request_: Request, action: Action) -> None:
    decision = decided(request_)
    assert (decision.when, decision.action) == (When.NOW, action)


@pytest.mark.parametrize("facts", [{"position": 1}, {"position": None}, {"confirmed": False}])
def test_a_node_that_comes_later_or_is_not_sure_defers(facts: dict[str, Any]) -> None:
    decision = decided(CREATE, **facts)
    assert (decision.when, decision.position) == (When.DEFER, facts.get("position", 0))


@pytest.mark.parametrize("source", [sources.DIRECT, sources.OWN_EXPIRED_CLAIM, sources.DEFERRED_OUR_TURN])
def test_a_source_that_is_for_this_node_makes_it_act_whatever_its_position(source: Source) -> None:
    assert decided(CREATE, source, position=7, confirmed=False).when is When.NOW


def test_an_expired_claim_is_left_to_the_node_that_comes_first() -> None:
    assert decided(CREATE, sources.EXPIRED_CLAIM, position=1).when is When.NEVER
    assert decided(CREATE, sources.EXPIRED_CLAIM).when is When.NOW


def test_a_session_of_a_node_that_is_alive_is_left_to_it() -> None:
    for source in (sources.DIRECT, sources.DEFERRED_OUR_TURN):
        assert decided(STATUS, source, position=None).when is When.NEVER
    assert decided(STATUS, position=None) == Decision(When.DEFER, Action.ANSWER_FOR_OWNER, None), "that drops it"


def test_nothing_is_decided_while_a_node_may_only_just_be_missing() -> None:
    for request in (CREATE, REMOVE):
        assert decided(request, sources.DEFERRED_OUR_TURN, too_early=True).when is When.DEFER_LONGEST


def test_a_create_that_no_node_can_take_is_rejected_with_the_reason() -> None:
    decision = decided(CREATE, error=NO_NODE, matches=False)
    assert (decision.when, decision.action, decision.error) == (When.NOW, Action.REJECT, NO_NODE)


def test_a_malformed_request_is_rejected_with_what_is_wrong_with_it() -> None:
    assert decided(MALFORMED, error=NO_NODE).error is MALFORMED.error


def test_a_direct_create_is_judged_by_this_node_alone() -> None:
    full = NoCapacity("this cloud is full")
    assert decided(CREATE, sources.DIRECT).action is Action.CREATE
    assert decided(CREATE, sources.DIRECT, local_error=full).error is full
    assert decided(CREATE, sources.DIRECT, local_error=full, matches=False).error is NOT_MATCHING


def test_a_deferred_create_that_this_node_does_not_match_is_forwarded() -> None:
    assert decided(CREATE, sources.DEFERRED_OUR_TURN, matches=False).action is Action.FORWARD
    assert decided(CREATE, sources.DEFERRED_OUR_TURN).action is Action.CREATE


def test_an_own_expired_claim_of_a_create_that_no_longer_matches_is_rejected() -> None:
    decision = decided(CREATE, sources.OWN_EXPIRED_CLAIM, matches=False)
    assert (decision.action, decision.error) == (Action.REJECT, NO_MATCHING_NODE)


@pytest.mark.parametrize(
    ("request_", "source", "when"),
    [
        (CREATE, sources.PUBLISHED, When.NOW),
        (CREATE, sources.REPEATED, When.DEFER_LONGEST),
        (CREATE, sources.DEFERRED_OUR_TURN, When.DEFER_LONGEST),
        (CREATE, sources.EXPIRED_CLAIM, When.NOW),
        (NAMED, sources.PUBLISHED, When.DEFER_LONGEST),
        (NAMED, sources.DIRECT, When.DEFER_LONGEST),
        (NAMED, sources.OWN_EXPIRED_CLAIM, When.NOW),
        (REMOVE, sources.REPEATED, When.NOW),
    ],
)
def test_creates_that_could_make_a_second_session_wait_for_the_resync(
    request_: Request, source: Source, when: When
) -> None:
    assert decided(request_, source, resyncing=True).when is when
    assert decided(request_, source).when is not When.DEFER_LONGEST
