"""Which requests were received before, within bounded memory."""

from __future__ import annotations

import pytest

from pycloud.cluster import seen_requests
from pycloud.cluster.seen_requests import SeenRequests

#: How many ids one generation holds in these tests.
SIZE = 3


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> SeenRequests:
    monkeypatch.setattr(seen_requests, "GENERATION_SIZE", SIZE)
    return SeenRequests()


def add_others(seen: SeenRequests, count: int, prefix: str = "other") -> None:
    """Receive ``count`` requests that were not received before."""
    assert [seen.check_and_add("create", f"{prefix}{number}") for number in range(count)] == [False] * count


def test_a_request_is_new_once_and_a_repeat_after_that(seen: SeenRequests) -> None:
    assert [seen.check_and_add("create", "r") for _ in range(4)] == [False, True, True, True]


def test_the_same_id_under_another_op_is_another_request(seen: SeenRequests) -> None:
    seen.check_and_add("create", "r")
    assert not seen.check_and_add("remove", "r")
    assert seen.check_and_add("create", "r")


@pytest.mark.parametrize("received_before", range(SIZE))
def test_a_request_is_remembered_until_a_whole_generation_was_received_after_it(
    seen: SeenRequests, received_before: int
) -> None:
    """However full its own generation was."""
    add_others(seen, received_before, "earlier")
    seen.check_and_add("create", "r")
    add_others(seen, SIZE)
    assert seen.check_and_add("create", "r")


def test_repeats_take_no_memory_and_displace_nothing(seen: SeenRequests) -> None:
    seen.check_and_add("create", "r")
    seen.check_and_add("create", "again")
    assert all(seen.check_and_add("create", "again") for _ in range(10 * SIZE))
    assert seen.check_and_add("create", "r")


def test_a_request_of_two_generations_ago_is_new_again(seen: SeenRequests) -> None:
    seen.check_and_add("create", "r")
    add_others(seen, 2 * SIZE)
    assert not seen.check_and_add("create", "r")


def test_never_more_than_two_generations_are_held(seen: SeenRequests) -> None:
    for number in range(10 * SIZE):
        seen.check_and_add("create", f"r{number}")
        assert len(seen._current) + len(seen._previous) <= 2 * SIZE
