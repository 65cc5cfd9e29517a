"""What a cloud knows of the others, and when it knows enough to speak for them."""

from __future__ import annotations

import pytest

from pycloud.cluster.membership import RECONNECT_GRACE, Membership
from pycloud.protocol.messages import CreateRequest
from tests.unit.cluster.test_placement import ANY, BEAT, rank_of


def beat_until(view: Membership, end: float, begin: float = 0.0) -> None:
    """Hear our own rank each second."""
    for second in range(int(begin), int(end) + 1):
        view.on_heartbeat(rank_of(view.own_id, sent=float(second)), float(second))


def test_an_own_rank_that_says_we_are_deaf_proves_that_we_hear_and_not_that_nobody_speaks_for_us() -> None:
    view = Membership("a", "i", BEAT)
    beat_until(view, 2)
    assert view.heartbeat_lost(10.0)
    view.on_heartbeat(rank_of("a", sent=10.0, deaf=True), 10.1)
    assert not view.heartbeat_lost(10.1)
    assert not view.confirmed(10.1), "the others have read the same"
    view.on_heartbeat(rank_of("a", sent=11.0), 11.1)
    assert view.confirmed(11.1)


def test_who_was_just_started_does_not_miss_anybody_yet() -> None:
    view = Membership("a", "i", BEAT)
    beat_until(view, 1)
    assert view.in_grace_period("b", 1.0)
    beat_until(view, 10, 2)
    assert view.confirmed_for(10.0) > RECONNECT_GRACE
    assert not view.in_grace_period("b", 10.0)


def test_who_did_not_hear_for_a_while_gives_the_others_time_to_be_heard() -> None:
    view = Membership("a", "i", BEAT)
    beat_until(view, 5)
    view.on_heartbeat(rank_of("b"), 5.0)
    view.on_heartbeat(rank_of("a", sent=20.0), 20.0)
    assert not view.is_alive("b", 20.0)
    assert view.in_grace_period("b", 20.0)
    beat_until(view, 24, 21)
    assert not view.in_grace_period("b", 24.0)


def test_an_interruption_however_short_begins_the_time_anew() -> None:
    view = Membership("a", "i", BEAT)
    view.on_heartbeat(rank_of("b"), 0.0)
    beat_until(view, 9)
    assert not view.in_grace_period("b", 9.0)
    view.on_disconnected()
    beat_until(view, 10, 10)
    assert view.confirmed(10.0)
    assert view.in_grace_period("b", 10.0), "its subscription may have been cut off as ours was"
    assert not view.is_lost("b", 5.0, 14.0)
    beat_until(view, 13, 11)
    assert not view.in_grace_period("b", 13.0)


def test_who_says_goodbye_is_away_at_once() -> None:
    view = Membership("a", "i", BEAT)
    view.on_heartbeat(rank_of("a", sent=0.5), 0.5)
    view.on_heartbeat(rank_of("b", deaf=True), 1.0)
    assert not view.is_alive("b", 1.0)
    assert not view.in_grace_period("b", 1.0)


def test_whom_redis_was_away_from_as_from_us_is_given_time_to_be_heard() -> None:
    """A Redis that was frozen: each cloud says that it is deaf, and hears itself a moment later."""
    view = Membership("a", "i", BEAT)
    beat_until(view, 10)
    view.on_heartbeat(rank_of("a", sent=13.0), 13.0)
    view.on_heartbeat(rank_of("b", deaf=True), 13.0)
    assert not view.is_alive("b", 13.1)
    assert view.in_grace_period("b", 13.1)
    view.on_heartbeat(rank_of("b"), 13.9)
    assert view.is_alive("b", 14.0)
    view.on_heartbeat(rank_of("b", deaf=True), 14.5)
    beat_until(view, 16, 14)
    assert not view.in_grace_period("b", 16.1), "it has said goodbye meanwhile"


def test_the_silent_are_forgotten_and_count_as_away_all_the_same() -> None:
    view = Membership("a", "i", BEAT)
    for number in range(100):
        view.on_heartbeat(rank_of(f"old{number}"), 0.0)
    beat_until(view, 60)
    view.prune(50.0, 60.0)
    assert list(view.peers) == ["a"]
    assert view.is_lost("old1", 30.0, 60.0)


@pytest.mark.parametrize(
    ("other", "may"), [({"capacity": 5}, True), ({"capacity": 0}, False), ({"draining": True}, False)]
)
def test_whether_others_may_take_what_we_cannot(other: dict[str, object], may: bool) -> None:
    view = Membership("a", "i", BEAT)
    view.on_heartbeat(rank_of("a"), 0.0)
    view.on_heartbeat(rank_of("b", **other), 0.0)
    assert view.next_candidate(ANY, 1.0) == ("b" if may else None)


def test_what_is_handed_over_counts_for_whoever_gets_it() -> None:
    """A cloud that finds itself full in the middle of a burst does not fill another one beyond its room, too."""
    view = Membership("a", "i", BEAT)
    for cloud, capacity in (("a", 0), ("b", 2), ("c", 1)):
        view.on_heartbeat(rank_of(cloud, capacity=capacity), 0.0)
    assert sorted(str(view.next_candidate(ANY, 1.0)) for _ in range(4)) == ["None", "b", "b", "c"]


def test_whether_we_fit_does_not_depend_on_room() -> None:
    view = Membership("a", "i", BEAT)
    view.on_heartbeat(rank_of("a", capacity=0, labels={"region": "eu"}), 0.0)
    assert view.self_matches(CreateRequest("r", "s", where={"region": "eu"}))
    assert not view.self_matches(CreateRequest("r", "s", where={"region": "us"}))
    assert not view.self_matches(CreateRequest("r", "s", cloud="b"))
