"""The sources of requests, by what a node does differently for each; and a request that is deferred again and again."""

from __future__ import annotations

import msgspec
import pytest

from pycloud.errors import BadRequest
from pycloud.protocol import received
from pycloud.protocol.decoding import RejectedRequest
from pycloud.protocol.received import (
    DEFERRED,
    DEFERRED_OUR_TURN,
    DEFERRED_REPEAT_OUR_TURN,
    DIRECT,
    EXPIRED_CLAIM,
    OWN_EXPIRED_CLAIM,
    PUBLISHED,
    REPEATED,
    ReceivedRequest,
    Source,
)
from pycloud.protocol.requests import CreateRequest, DrainRequest, RemoveRequest, Request, StatusRequest

SOURCES = {name: value for name, value in vars(received).items() if isinstance(value, Source)}
SESSION = "0" * 20


def sources_with(attribute: str) -> list[Source]:
    """The sources of which this is true."""
    return [source for source in SOURCES.values() if getattr(source, attribute)]


def test_each_source_is_distinct_in_the_log() -> None:
    assert len(SOURCES) == 8
    assert len({source.description for source in SOURCES.values()}) == 8


def test_only_a_request_that_was_broadcast_just_now_counts_for_its_taker() -> None:
    assert sources_with("fresh") == [PUBLISHED]


def test_only_a_direct_request_was_sent_to_this_node_alone() -> None:
    assert sources_with("direct") == [DIRECT]


def test_a_node_acts_at_once_on_what_is_for_it_alone_and_where_it_is_its_turn() -> None:
    assert sources_with("act_now") == [DIRECT, OWN_EXPIRED_CLAIM, DEFERRED_OUR_TURN, DEFERRED_REPEAT_OUR_TURN]


def test_expired_claims_are_those_of_any_node_and_our_own() -> None:
    assert sources_with("expired_claim") == [EXPIRED_CLAIM, OWN_EXPIRED_CLAIM]


def test_deferred_requests_are_those_that_no_node_has_claimed_in_time() -> None:
    assert sources_with("deferred") == [DEFERRED, DEFERRED_OUR_TURN, DEFERRED_REPEAT_OUR_TURN]


def test_a_repeat_stays_one_when_it_was_deferred() -> None:
    assert sources_with("repeat") == [REPEATED, DEFERRED_REPEAT_OUR_TURN]


def test_a_restarted_redis_may_have_forgotten_the_responses_to_repeats_and_deferred_requests() -> None:
    assert sources_with("may_have_been_answered") == [
        REPEATED,
        DEFERRED,
        DEFERRED_OUR_TURN,
        DEFERRED_REPEAT_OUR_TURN,
    ]


@pytest.mark.parametrize(
    ("source", "replay_interval"),
    [
        (PUBLISHED, None),  # a new response is the one to this very request
        (REPEATED, 0.0),
        (DIRECT, 0.0),
        (EXPIRED_CLAIM, None),
        (OWN_EXPIRED_CLAIM, None),
        (DEFERRED, None),
        (DEFERRED_OUR_TURN, None),
        (DEFERRED_REPEAT_OUR_TURN, 1.0),  # one of several nodes that do so
    ],
)
def test_a_new_response_is_published_again_for_requests_that_are_repeats(
    source: Source, replay_interval: float | None
) -> None:
    assert source.replay_interval == replay_interval


@pytest.mark.parametrize(
    ("request_", "session_id"),
    [
        (StatusRequest("r", SESSION), SESSION),
        (RemoveRequest("r", SESSION), SESSION),
        (CreateRequest("r", "script"), ""),
        (DrainRequest("r", draining=True), ""),
        # Any node may answer it with its error, whatever session it names.
        (RejectedRequest(RemoveRequest, "r", SESSION, "d", BadRequest("no")), ""),
    ],
)
def test_the_session_of_a_request(request_: Request | RejectedRequest, session_id: str) -> None:
    assert ReceivedRequest(request_, b"", PUBLISHED).session_id == session_id


def test_a_request_without_deadlines_is_valid_for_ever() -> None:
    plain = ReceivedRequest(StatusRequest("r", SESSION), b"", PUBLISHED)
    assert (plain.fresh_until, plain.valid_until, plain.deferrals) == (float("inf"), float("inf"), 0)


def test_a_request_that_is_deferred_again_keeps_its_deadlines_and_counts_its_deferrals() -> None:
    request = StatusRequest("r", SESSION)
    first = ReceivedRequest(request, b"payload", PUBLISHED, 1004.0, 1540.0)
    second = first.again(DEFERRED)
    third = second.again(DEFERRED_OUR_TURN)
    assert second == ReceivedRequest(request, b"payload", DEFERRED, 1004.0, 1540.0, deferrals=1)
    assert third == msgspec.structs.replace(first, source=DEFERRED_OUR_TURN, deferrals=2)
    assert (first.source, first.deferrals) == (PUBLISHED, 0), "the request itself does not change"
