"""Which requests a node may handle, how those without anything to do are answered, and how claims are renewed."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
import redis
from gevent.event import Event
from msgspec import UNSET

from pycloud.errors import BadRequest, NameTaken, NoCapacity, RequestError
from pycloud.protocol.decoding import RejectedRequest, digest_for
from pycloud.protocol.received import (
    DEFERRED_REPEAT_OUR_TURN,
    DIRECT,
    PUBLISHED,
    REPEATED,
    ReceivedRequest,
    Source,
)
from pycloud.protocol.requests import CreateRequest, RemoveRequest, Request, StatusRequest
from pycloud.store import request_claimer
from pycloud.store.request_claimer import FRESH_RESPONSE_AGE, RENEWAL_INTERVAL, RequestClaimer
from pycloud.store.requests import CLAIM_VALIDITY, LEASE, Claim, ClaimResult

NODE = "c" * 10
OWN_SESSION, OTHER_SESSION = "0" * 10 + NODE, "0" * 10 + "d" * 10
CREATE, REMOVE = CreateRequest("r", "script", digest="d1"), RemoveRequest("r", OTHER_SESSION, digest="d1")
STATUS = StatusRequest("r", OTHER_SESSION, digest="d1")
MALFORMED = RejectedRequest(RemoveRequest, "r", OWN_SESSION, "d9", BadRequest("session is missing"))
#: A source of requests that are known to be repeats; a response is published again once a second.
REPEAT = DEFERRED_REPEAT_OUR_TURN
CLAIMED, HELD, CONFLICT = (ClaimResult.CLAIMED, 0.0), (ClaimResult.HELD, 0.0), (ClaimResult.CONFLICT, 0.0)
ABANDONED = (ClaimResult.ABANDONED, 0.0)
JUST_ANSWERED, ANSWERED = (ClaimResult.ANSWERED, FRESH_RESPONSE_AGE), (ClaimResult.ANSWERED, FRESH_RESPONSE_AGE + 0.1)


def received(
    request: Request | RejectedRequest = CREATE, source: Source = PUBLISHED, payload: bytes = b"payload"
) -> ReceivedRequest:
    return ReceivedRequest(request, payload, source, fresh_until=1004.0, valid_until=1540.0)


class Node:
    """A node whose attempts to claim have these ``results``, one after the other. It renews all but ``lost`` claims."""

    def __init__(self, *results: tuple[ClaimResult, float]) -> None:
        self.results = list(results)
        self.attempts: list[tuple[Claim, bytes, dict[str, Any]]] = []
        self.answers: list[tuple[Claim, Any, bool]] = []
        self.replayed: list[tuple[str, float]] = []
        self.renewed: list[list[Claim]] = []
        self.lost: set[Claim] = set()
        self.error: redis.RedisError | None = None
        store = SimpleNamespace(claim=self._claim, commit=self._commit, replay=self._replay, renew=self._renew)
        self.claimer = RequestClaimer(NODE, cast(Any, store))

    def claim(self, request: Request = CREATE, source: Source = PUBLISHED) -> Claim | None:
        return self.claimer.claim(received(request, source))

    def _claim(self, claim: Claim, payload: bytes, **more: Any) -> tuple[ClaimResult, float]:
        self.attempts.append((claim, payload, more))
        return self.results.pop(0)

    def _commit(self, claim: Claim, response: Any, *, retryable: bool) -> None:
        self.answers.append((claim, response, retryable))

    def _replay(self, claim: Claim, min_interval: float) -> None:
        self.replayed.append((claim.variant, min_interval))

    def _renew(self, claims: Iterable[Claim]) -> list[Claim]:
        if self.error is not None:
            raise self.error
        self.renewed.append(list(claims))
        return [claim for claim in self.renewed[-1] if claim not in self.lost]

    @property
    def idle(self) -> bool:
        return not self.answers and not self.replayed


@pytest.mark.parametrize(
    ("request_", "own"),
    [(CREATE, False), (REMOVE, False), (RemoveRequest("r", OWN_SESSION, digest="d1"), True)],
)
def test_a_claim_has_what_redis_needs_to_know(request_: Request, own: bool) -> None:
    node = Node(CLAIMED)
    claim = node.claim(request_)
    assert claim is not None
    assert (claim.op, claim.id, claim.digest) == (request_.op, "r", "d1")
    assert node.attempts == [(claim, b"payload", {"own_session": own, "fresh_until": 1004.0, "valid_until": 1540.0})]
    assert node.idle


def test_the_digest_of_a_request_that_was_decoded_without_it_is_that_of_its_payload() -> None:
    node, payload = Node(CLAIMED), b'{"id": "r", "script": "script"}'
    request = CreateRequest("r", "script")
    claim = node.claimer.claim(received(request, payload=payload))
    assert claim is not None
    assert claim.digest == digest_for(request, payload) != ""


def test_the_claim_of_a_create_with_a_name_has_the_name() -> None:
    claim = Node(CLAIMED).claim(CreateRequest("r", "script", name="web", digest="d1"))
    assert claim is not None
    assert claim.name == "web"


def test_each_attempt_has_a_token_of_its_own() -> None:
    """A node that was frozen finds another's token, also where that other is the next daemon of the same node."""
    node = Node(CLAIMED, CLAIMED)
    node.claim()
    node.claim()
    assert node.attempts[0][0].token != node.attempts[1][0].token


def test_a_request_that_another_node_has_claimed_is_left_to_it() -> None:
    node = Node(HELD)
    assert node.claim() is None
    assert node.idle


def test_a_create_that_was_taken_over_too_often_is_answered_as_abandoned_for_good() -> None:
    node = Node(ABANDONED)
    assert node.claim() is None
    ((claim, response, retryable),) = node.answers
    assert (claim, response.id, response.error.code, retryable) == (node.attempts[0][0], None, "abandoned", False)


@pytest.mark.parametrize(
    ("found", "source", "replayed"),
    [
        (JUST_ANSWERED, PUBLISHED, []),  # its requester has just received this very response
        (JUST_ANSWERED, REPEAT, [("", 1.0)]),
        (JUST_ANSWERED, REPEATED, [("", 0.0)]),
        (JUST_ANSWERED, DIRECT, [("", 0.0)]),
        (ANSWERED, PUBLISHED, [("", 0.0)]),  # a repeat, though this node has not received the first one
        (ANSWERED, REPEAT, [("", 1.0)]),
    ],
)
def test_the_response_to_a_repeat_is_published_again(
    found: tuple[ClaimResult, float], source: Source, replayed: list[tuple[str, float]]
) -> None:
    node = Node(found)
    assert node.claim(source=source) is None
    assert (node.answers, node.replayed) == ([], replayed)


def test_another_payload_under_a_used_id_is_rejected_apart_from_the_first() -> None:
    """The response to the first request stays."""
    node = Node(CONFLICT, CLAIMED)
    assert node.claim() is None
    ((claim, response, retryable),) = node.answers
    assert (claim.id, claim.variant, response.error.code, retryable) == ("r", "d1", "id_conflict", False)
    assert [payload for _claim, payload, _more in node.attempts] == [b"payload", b""], "there is nothing to take over"


def test_a_conflict_is_answered_with_the_session_that_the_request_named() -> None:
    node = Node(CONFLICT, CLAIMED)
    node.claim(REMOVE)
    assert [response.id for _claim, response, _retryable in node.answers] == [OTHER_SESSION]


@pytest.mark.parametrize(
    ("second", "source", "replayed"),
    [
        (HELD, REPEAT, []),
        (JUST_ANSWERED, PUBLISHED, []),
        (JUST_ANSWERED, REPEAT, [("d1", 1.0)]),
        (ANSWERED, PUBLISHED, [("d1", 0.0)]),
    ],
)
def test_a_conflict_is_rejected_once_and_the_error_published_again_for_a_repeat(
    second: tuple[ClaimResult, float], source: Source, replayed: list[tuple[str, float]]
) -> None:
    node = Node(CONFLICT, second)
    assert node.claim(source=source) is None
    assert (node.answers, node.replayed) == ([], replayed)


@pytest.mark.parametrize(
    ("request_", "error", "retryable"),
    [
        (CREATE, NoCapacity("full"), True),
        (CREATE, BadRequest("no"), False),
        (REMOVE, BadRequest("no"), False),
        (STATUS, BadRequest("no"), True),  # it is answered anew each time, so the next one may succeed
    ],
)
def test_an_error_that_may_not_last_is_stored_as_retryable(
    request_: Request, error: RequestError, retryable: bool
) -> None:
    node = Node(CLAIMED)
    node.claimer.reject(received(request_), error)
    ((_claim, response, was_retryable),) = node.answers
    assert was_retryable is retryable
    assert (response.cloud, response.error.code, response.error.message) == (NODE, error.code, error.message)
    assert response.id == (None if request_ is CREATE else OTHER_SESSION)
    assert response.error.session is UNSET


def test_a_request_is_rejected_by_one_node_only() -> None:
    node = Node(HELD, HELD)
    node.claimer.reject(received(CREATE), NoCapacity("full"))
    rejected = RejectedRequest(CreateRequest, "r", "", "d1", BadRequest("no"))
    node.claimer.reject(received(rejected), rejected.error)
    assert node.idle
    assert len(node.attempts) == 2


def test_a_request_that_could_not_be_decoded_is_answered_under_its_own_digest() -> None:
    node = Node(CLAIMED)
    node.claimer.reject(received(MALFORMED), MALFORMED.error)
    ((claim, response, _retryable),) = node.answers
    assert (claim.op, claim.digest, response.id, response.error.code) == ("remove", "d9", OWN_SESSION, "bad_request")
    assert node.attempts[0][2]["own_session"], "of the session that it named"


def test_a_malformed_status_may_be_answered_differently_the_next_time() -> None:
    node = Node(CLAIMED)
    rejected = RejectedRequest(StatusRequest, "r", "", "d1", BadRequest("session is missing"))
    node.claimer.reject(received(rejected), rejected.error)
    ((_claim, response, retryable),) = node.answers
    assert (response.id, response.status, retryable) == ("", False, True)


def test_a_create_whose_name_is_taken_is_rejected_with_the_session_that_has_it() -> None:
    node = Node()
    claim = Claim("create", "r", "d1")
    node.claimer.reject_claimed(claim, NameTaken("web", OTHER_SESSION))
    ((answered, response, retryable),) = node.answers
    assert (answered, response.id, response.error.session, retryable) == (claim, None, OTHER_SESSION, True)


def test_a_claim_is_held_within_the_block_whatever_ends_it() -> None:
    claimer, claim = Node().claimer, Claim("create", "r", "d1")
    with claimer.hold(claim):
        assert claimer.is_held("create", "r")
        assert not claimer.is_held("remove", "r"), "the same id under another op is another request"
        assert not claimer.is_held("create", "q")
    assert not claimer.is_held("create", "r")
    with pytest.raises(ZeroDivisionError), claimer.hold(claim):
        raise ZeroDivisionError
    assert not claimer.is_held("create", "r")


def test_only_claims_that_are_held_are_renewed() -> None:
    node, first, second = Node(), Claim("create", "r1", "d"), Claim("create", "r2", "d")
    with node.claimer.hold(first):
        with node.claimer.hold(second):
            node.claimer.renew()
        node.claimer.renew()
    node.claimer.renew()
    assert node.renewed == [[first, second], [first], []]


def test_a_claim_that_is_no_longer_held_when_its_turn_comes_is_not_renewed() -> None:
    node, first, second = Node(), Claim("create", "r1", "d"), Claim("create", "r2", "d")
    seen: list[Claim] = []

    def renew(claims: Iterable[Claim]) -> list[Claim]:
        for claim in claims:
            seen.append(claim)
            holding.__exit__(None, None, None)  # the second one is answered meanwhile
        return seen

    store = SimpleNamespace(renew=renew)
    node.claimer = RequestClaimer(NODE, cast(Any, store))
    holding = node.claimer.hold(second)
    with node.claimer.hold(first):
        holding.__enter__()
        node.claimer.renew()
    assert seen == [first]


def test_a_claim_is_valid_for_a_while_after_each_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(request_claimer, "monotonic", lambda: now)
    node, claim, other = Node(), Claim("create", "r1", "d"), Claim("create", "r2", "d")
    assert node.claimer.valid_until(claim) == float("inf"), "it is not held"
    node.lost = {other}
    with node.claimer.hold(claim, 1540.0), node.claimer.hold(other, 1540.0):
        assert node.claimer.valid_until(claim) == 1540.0
        now = 1100.0
        node.claimer.renew()
        assert node.claimer.valid_until(claim) == 1100.0 + CLAIM_VALIDITY
        assert node.claimer.valid_until(other) == 1540.0, "another node has it by now"
    assert node.claimer.valid_until(claim) == float("inf")


def test_a_claim_that_is_answered_while_it_is_renewed_is_not_held_again() -> None:
    claim = Claim("create", "r", "d")
    claimer = RequestClaimer(NODE, cast(Any, None))
    holding = claimer.hold(claim)

    def renew(claims: Iterable[Claim]) -> list[Claim]:
        found = list(claims)
        holding.__exit__(None, None, None)
        return found

    claimer._request_store = cast(Any, SimpleNamespace(renew=renew))
    holding.__enter__()
    claimer.renew()
    assert not claimer.is_held("create", "r")


def test_claims_are_renewed_periodically_from_the_start_to_the_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two renewals may fail before a lease runs out; an error of Redis ends nothing."""
    assert 3 * RENEWAL_INTERVAL < LEASE / 1000
    node, turn, slept = Node(), Event(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        turn.wait()
        turn.clear()

    def let_renew() -> None:
        turn.set()
        gevent.sleep(0)
        gevent.sleep(0)

    monkeypatch.setattr(request_claimer, "gevent", SimpleNamespace(sleep=sleep, spawn=gevent.spawn))
    node.claimer.stop()
    node.claimer.start()
    try:
        gevent.sleep(0)
        assert (slept, node.renewed) == ([RENEWAL_INTERVAL], [])
        with node.claimer.hold(claim := Claim("create", "r", "d")):
            node.error = redis.ResponseError("NOPERM")
            let_renew()
            assert (node.renewed, caplog.text.count("NOPERM")) == ([], 1)
            node.error = None
            let_renew()
            assert node.renewed == [[claim]]
    finally:
        node.claimer.stop()
    let_renew()
    assert (len(node.renewed), slept) == (1, [RENEWAL_INTERVAL] * 3)
