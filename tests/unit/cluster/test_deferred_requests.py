"""Requests that other nodes are expected to handle: when they are checked, and which of them are passed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import gevent
import pytest
import redis
from gevent.event import Event

from pycloud.cluster import deferred_requests
from pycloud.cluster.deferred_requests import (
    DELAY_OTHERS,
    DELAY_SECOND,
    DELAY_THIRD,
    MAX_DEFERRALS,
    DeferredRequest,
    DeferredRequests,
)
from pycloud.protocol.received import PUBLISHED, REPEATED, ReceivedRequest, Source
from pycloud.protocol.requests import CreateRequest

#: When every request is added in these tests (monotonic seconds).
ADDED_AT = 1000.0


def received(request_id: str = "r", deferrals: int = 0, source: Source = PUBLISHED) -> ReceivedRequest:
    """A create as it was received when it was added."""
    fresh_until, valid_until = ADDED_AT + 4.0, ADDED_AT + 540.0
    return ReceivedRequest(CreateRequest(request_id, "script"), b"payload", source, fresh_until, valid_until, deferrals)


class Store:
    """The requests in ``claimed`` are claimed; ``queries`` has the ids of each call."""

    def __init__(self) -> None:
        self.claimed: set[str] = set()
        self.queries: list[list[str]] = []
        self.error: redis.RedisError | None = None

    def are_claimed(self, requests: Sequence[tuple[str, str]]) -> list[bool]:
        assert {op for op, _request_id in requests} <= {"create"}
        self.queries.append([request_id for _op, request_id in requests])
        if self.error is not None:
            raise self.error
        return [request_id in self.claimed for _op, request_id in requests]


class Node:
    """A node's deferred requests, and those of them that are passed on as unclaimed."""

    def __init__(self) -> None:
        self.store, self.unclaimed = Store(), list[DeferredRequest]()
        self.requests = DeferredRequests(cast(Any, self.store))
        self.requests.on_unclaimed = self.unclaimed.append

    def add(self, position: int | None, request_id: str = "r", *, delay_longest: bool = False, **more: Any) -> None:
        self.requests.add(received(request_id, **more), position, delay_longest=delay_longest)

    def unclaimed_after(self, seconds: float) -> list[str]:
        """The ids that are passed on by a check so many seconds after the requests were added."""
        self.unclaimed.clear()
        self.requests._poll(ADDED_AT + seconds)
        return [deferred.received.request.id for deferred in self.unclaimed]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(deferred_requests, "monotonic", lambda: ADDED_AT)
    return Node()


@pytest.mark.parametrize(
    ("position", "delay"),
    [(0, DELAY_SECOND), (1, DELAY_SECOND), (2, DELAY_THIRD), (3, DELAY_OTHERS), (7, DELAY_OTHERS)],
)
def test_a_request_is_checked_the_later_the_further_back_the_position_is(
    node: Node, position: int, delay: float
) -> None:
    node.add(position)
    assert node.unclaimed_after(delay - 0.01) == []
    assert node.store.queries == []
    assert node.unclaimed_after(delay) == ["r"]
    assert node.unclaimed_after(100.0) == [], "once"


@pytest.mark.parametrize(("position", "deferrals"), [(None, 0), (0, MAX_DEFERRALS), (None, MAX_DEFERRALS)])
def test_a_request_of_others_or_one_that_was_deferred_too_often_is_dropped(
    node: Node, position: int | None, deferrals: int
) -> None:
    node.add(position, deferrals=deferrals)
    assert node.unclaimed_after(100.0) == []


def test_a_request_that_was_claimed_meanwhile_is_dropped(node: Node) -> None:
    for number in range(3):
        node.add(1, f"r{number}")
    node.store.claimed = {"r1"}
    assert node.unclaimed_after(1.0) == ["r0", "r2"]
    node.store.claimed = set()
    assert node.unclaimed_after(100.0) == []


@pytest.mark.parametrize(
    ("position", "deferrals", "delay_longest", "our_turn"),
    [(0, 0, False, True), (2, 0, False, True), (3, 0, False, False), (3, 1, False, True), (3, 0, True, True)],
)
def test_the_first_three_nodes_act_at_their_first_check_and_the_others_at_their_second(
    node: Node, position: int, deferrals: int, delay_longest: bool, our_turn: bool
) -> None:
    node.add(position, deferrals=deferrals, delay_longest=delay_longest)
    node.unclaimed_after(DELAY_OTHERS)
    assert [(each.our_turn, each.received.deferrals) for each in node.unclaimed] == [(our_turn, deferrals)]


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_a_request_with_the_longest_delay_waits_for_it_whatever_the_position(node: Node, position: int) -> None:
    node.add(position, delay_longest=True)
    assert node.unclaimed_after(DELAY_OTHERS - 0.01) == []
    assert node.unclaimed_after(DELAY_OTHERS) == ["r"]


@pytest.mark.parametrize(("position", "passed_on"), [(1, ["r"]), (3, [])])
def test_a_claimed_repeat_is_passed_on_where_it_is_our_turn(node: Node, position: int, passed_on: list[str]) -> None:
    """Its response has to be published again, which the node that claimed the first one need not have done."""
    node.add(position, source=REPEATED)
    node.store.claimed = {"r"}
    assert node.unclaimed_after(DELAY_OTHERS) == passed_on


def test_all_requests_that_are_due_are_checked_with_one_query(node: Node) -> None:
    for number, position in enumerate((1, 2, 3, 1)):
        node.add(position, f"r{number}")
    node.unclaimed_after(DELAY_THIRD)
    assert [sorted(query) for query in node.store.queries] == [["r0", "r1", "r3"]]


def test_a_query_is_bounded_and_the_next_check_has_the_rest(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred_requests, "BATCH_SIZE", 2)
    for number in range(5):
        node.add(1, f"r{number}")
    assert [node.unclaimed_after(1.0) for _ in range(4)] == [["r0", "r1"], ["r2", "r3"], ["r4"], []]


def test_a_request_is_passed_on_as_it_was_received(node: Node) -> None:
    node.add(1, deferrals=2, source=REPEATED)
    node.unclaimed_after(1.0)
    expected = ReceivedRequest(
        CreateRequest("r", "script"),
        b"payload",
        REPEATED,
        fresh_until=ADDED_AT + 4.0,
        valid_until=ADDED_AT + 540.0,
        deferrals=2,
    )
    assert node.unclaimed == [DeferredRequest(expected, our_turn=True)]


def test_an_error_of_redis_does_not_end_the_checks(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred_requests, "POLL_INTERVAL", 0)
    passed_on = Event()
    node.requests.on_unclaimed = lambda deferred: passed_on.set() if deferred.received.request.id == "later" else None
    node.store.error = redis.ResponseError("NOPERM")
    node.add(1)
    monkeypatch.setattr(deferred_requests, "monotonic", lambda: ADDED_AT + 1.0)
    node.requests.start()
    try:
        with gevent.Timeout(5.0):
            while not node.store.queries:
                gevent.sleep(0)
        node.store.error = None
        node.add(1, "later")
        monkeypatch.setattr(deferred_requests, "monotonic", lambda: ADDED_AT + 2.0)
        assert passed_on.wait(5.0)
    finally:
        node.requests.stop()


def test_requests_that_could_not_be_checked_are_checked_at_the_next_poll(node: Node) -> None:
    node.add(1, "first")
    node.add(1, "second")
    node.store.error = redis.ConnectionError("gone")
    with pytest.raises(redis.ConnectionError):
        node.unclaimed_after(1.0)
    node.store.error = None
    assert node.unclaimed_after(1.1) == ["first", "second"]
