"""Waiting for the end of a session: when to ask, and when it is over."""

from __future__ import annotations

import pytest

from pycloud.client.wait import POLL_INTERVAL, RETRY_INTERVAL, ExitWaiter
from pycloud.protocol.messages import Event, StatusResponse

SESSION = "0123456789cccccccccc"
ALIVE = StatusResponse("c", SESSION, True, "running")
UNKNOWN = StatusResponse("c", SESSION, False)


def event(name: str, session: str = SESSION) -> Event:
    return Event(name, "cccccccccc", 1.5, session=session)


def test_it_asks_at_once_and_then_now_and_then() -> None:
    waiter = ExitWaiter(SESSION, 100)
    assert waiter.query_at == 100
    assert not waiter.on_response(ALIVE, 101)
    assert waiter.query_at == 101 + POLL_INTERVAL
    waiter.on_event(event("session.running"), 102)
    waiter.on_event(event("session.exited", "another"), 102)
    assert waiter.query_at == 101 + POLL_INTERVAL


@pytest.mark.parametrize("name", ["session.exited", "session.failed", "session.removed", "session.lost"])
def test_it_asks_when_it_hears_of_an_end_and_again_a_second_later(name: str) -> None:
    waiter = ExitWaiter(SESSION, 100)
    waiter.on_response(ALIVE, 100)
    waiter.on_event(event(name), 103)
    assert waiter.query_at == 103
    assert not waiter.on_response(ALIVE, 103)
    assert waiter.query_at == 103 + RETRY_INTERVAL


@pytest.mark.parametrize("state", ["exited", "failed", "removed", "lost", "a word of a newer cloud"])
def test_what_lives_no_more_has_ended(state: str) -> None:
    assert ExitWaiter(SESSION, 0).on_response(StatusResponse("c", SESSION, False, state), 1)


def test_nobody_knowing_it_is_believed_at_once_or_at_the_second_time() -> None:
    assert ExitWaiter(SESSION, 0).on_response(UNKNOWN, 1)

    waiter = ExitWaiter(SESSION, 0)
    waiter.on_response(ALIVE, 1)
    assert not waiter.on_response(UNKNOWN, 2)
    assert waiter.query_at == 2 + RETRY_INTERVAL
    assert not waiter.on_response(ALIVE, 3), "a Redis that came back empty did not know it yet"
    assert not waiter.on_response(UNKNOWN, 4)
    assert waiter.on_response(UNKNOWN, 5)

    waiter = ExitWaiter(SESSION, 0)
    waiter.on_response(ALIVE, 1)
    waiter.on_event(event("session.removed"), 2)
    assert waiter.on_response(UNKNOWN, 2)


def test_after_trouble_it_asks_soon_but_not_at_once() -> None:
    waiter = ExitWaiter(SESSION, 0)
    waiter.on_response(ALIVE, 0)
    waiter.on_query_failed(5)
    assert waiter.query_at == 5 + RETRY_INTERVAL
    waiter.on_disconnected(5.5)
    assert waiter.query_at == 5 + RETRY_INTERVAL
