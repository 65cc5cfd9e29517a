"""What a node knows of the others, and when it knows enough to speak for them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.cluster.membership import RECONNECT_GRACE, Membership
from pycloud.protocol.messages import Heartbeat
from pycloud.protocol.received import PUBLISHED
from pycloud.protocol.requests import CreateRequest
from tests.support.heartbeats import INTERVAL, heartbeat_of

ANY = CreateRequest("r", "script")


def beat_until(view: Membership, end: float, begin: float = 0.0) -> None:
    """Hear our own heartbeat each second."""
    for second in range(int(begin), int(end) + 1):
        view.on_heartbeat(heartbeat_of(view.own_id, sent=float(second)), float(second))


def test_an_own_rank_that_says_we_are_deaf_proves_that_we_hear_and_not_that_nobody_speaks_for_us() -> None:
    view = Membership("a", "i", INTERVAL)
    beat_until(view, 2)
    assert view.heartbeat_lost(10.0)
    view.on_heartbeat(heartbeat_of("a", sent=10.0, deaf=True), 10.1)
    assert not view.heartbeat_lost(10.1)
    assert not view.confirmed(10.1), "the others have read the same"
    view.on_heartbeat(heartbeat_of("a", sent=11.0), 11.1)
    assert view.confirmed(11.1)


def test_who_was_just_started_does_not_miss_anybody_yet() -> None:
    view = Membership("a", "i", INTERVAL)
    beat_until(view, 1)
    assert view.in_grace_period("b", 1.0)
    beat_until(view, 10, 2)
    assert view.confirmed_for(10.0) > RECONNECT_GRACE
    assert not view.in_grace_period("b", 10.0)


def test_who_did_not_hear_for_a_while_gives_the_others_time_to_be_heard() -> None:
    view = Membership("a", "i", INTERVAL)
    beat_until(view, 5)
    view.on_heartbeat(heartbeat_of("b"), 5.0)
    view.on_heartbeat(heartbeat_of("a", sent=20.0), 20.0)
    assert not view.is_alive("b", 20.0)
    assert view.in_grace_period("b", 20.0)
    beat_until(view, 24, 21)
    assert not view.in_grace_period("b", 24.0)


def test_an_interruption_however_short_begins_the_time_anew() -> None:
    view = Membership("a", "i", INTERVAL)
    view.on_heartbeat(heartbeat_of("b"), 0.0)
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
    view = Membership("a", "i", INTERVAL)
    view.on_heartbeat(heartbeat_of("a", sent=0.5), 0.5)
    view.on_heartbeat(heartbeat_of("b", deaf=True), 1.0)
    assert not view.is_alive("b", 1.0)
    assert not view.in_grace_period("b", 1.0)


def test_whom_redis_was_away_from_as_from_us_is_given_time_to_be_heard() -> None:
    """A Redis that was frozen: each node says that it is deaf, and hears itself a moment later."""
    view = Membership("a", "i", INTERVAL)
    beat_until(view, 10)
    view.on_heartbeat(heartbeat_of("a", sent=13.0), 13.0)
    view.on_heartbeat(heartbeat_of("b", deaf=True), 13.0)
    assert not view.is_alive("b", 13.1)
    assert view.in_grace_period("b", 13.1)
    view.on_heartbeat(heartbeat_of("b"), 13.9)
    assert view.is_alive("b", 14.0)
    view.on_heartbeat(heartbeat_of("b", deaf=True), 14.5)
    beat_until(view, 16, 14)
    assert not view.in_grace_period("b", 16.1), "it has said goodbye meanwhile"


def test_the_silent_are_forgotten_and_count_as_away_all_the_same() -> None:
    view = Membership("a", "i", INTERVAL)
    for number in range(100):
        view.on_heartbeat(heartbeat_of(f"old{number}"), 0.0)
    beat_until(view, 60)
    view.prune(50.0, 60.0)
    assert list(view.peers) == ["a"]
    assert view.is_lost("old1", 30.0, 60.0)


@pytest.mark.parametrize(
    ("other", "may"), [({"capacity": 5}, True), ({"capacity": 0}, False), ({"draining": True}, False)]
)
def test_whether_others_may_take_what_we_cannot(other: dict[str, object], may: bool) -> None:
    view = Membership("a", "i", INTERVAL)
    view.on_heartbeat(heartbeat_of("a"), 0.0)
    view.on_heartbeat(heartbeat_of("b", **other), 0.0)
    assert view.next_candidate(ANY, 1.0) == ("b" if may else None)


def test_what_is_handed_over_counts_for_whoever_gets_it() -> None:
    """A node that finds itself full in the middle of a burst does not fill another one beyond its room, too."""
    view = Membership("a", "i", INTERVAL)
    for node, capacity in (("a", 0), ("b", 2), ("c", 1)):
        view.on_heartbeat(heartbeat_of(node, capacity=capacity), 0.0)
    assert sorted(str(view.next_candidate(ANY, 1.0)) for _ in range(4)) == ["None", "b", "b", "c"]


def test_whether_we_fit_does_not_depend_on_room() -> None:
    view = Membership("a", "i", INTERVAL)
    view.on_heartbeat(heartbeat_of("a", capacity=0, labels={"region": "eu"}), 0.0)
    assert view.self_matches(CreateRequest("r", "s", where={"region": "eu"}))
    assert not view.self_matches(CreateRequest("r", "s", where={"region": "us"}))
    assert not view.self_matches(CreateRequest("r", "s", cloud="b"))


def hear_all(views: dict[str, Membership], heartbeat: Heartbeat, now: float) -> None:
    """A heartbeat comes in everywhere."""
    for view in views.values():
        view.on_heartbeat(heartbeat, now)


def views_of(*ids: str) -> dict[str, Membership]:
    """Views of nodes that all have heard each other."""
    views = {name: Membership(name, f"instance of {name}", INTERVAL) for name in ids}
    for name in ids:
        hear_all(views, heartbeat_of(name, instance=f"instance of {name}", sent=0.0), 0.0)
    return views


def received(view: Membership) -> int | None:
    """The node's position for a create that it receives, and counts for its taker as the router does."""
    assessment = view.assess(ANY, PUBLISHED, 0.5)
    assert assessment.taker is not None
    view.count_create(assessment.taker)
    return assessment.position


def test_a_thousand_creates_between_two_heartbeats_are_spread_evenly() -> None:
    views = views_of("a", "b", "c")
    taken = Counter(name for _ in range(1000) for name, view in views.items() if received(view) == 0)
    assert sorted(taken.values()) == [333, 333, 334]


@given(st.lists(st.sampled_from(["create", "a", "b", "c"]), max_size=300), st.integers(0, 20))
def test_ranks_in_the_middle_of_a_burst_change_nothing(happened: list[str], lag: int) -> None:
    """A heartbeat is published by a node that has seen all but the last ``lag`` creates since its last heartbeat."""
    views = views_of("a", "b", "c")
    taken: Counter[str] = Counter()
    history: list[Counter[str]] = [Counter()]
    at_last_heartbeat: Counter[str] = Counter()
    for event in happened:
        if event == "create":
            firsts = [name for name, view in views.items() if received(view) == 0]
            assert len(firsts) == 1, "all agree"
            taken[firsts[0]] += 1
            history.append(Counter(taken))
        else:
            seen = history[max(0, len(history) - 1 - lag)][event]
            seen = max(seen, at_last_heartbeat[event])
            at_last_heartbeat[event] = taken[event]
            heartbeat = heartbeat_of(
                event, instance=f"instance of {event}", score=1.0 + seen, sessions=seen, counted=seen
            )
            hear_all(views, heartbeat, 0.5)
    assert max(taken.values(), default=0) - min((taken[name] for name in views), default=0) <= 1


def test_a_cloud_that_was_restarted_is_counted_anew() -> None:
    views = views_of("a", "b")
    for _ in range(10):
        for view in views.values():
            received(view)
    views["a"].on_heartbeat(heartbeat_of("b", instance="another", counted=0), 0.6)
    assert views["a"].peers["b"].in_flight == 0


def test_who_missed_creates_agrees_again_after_a_rank() -> None:
    views = views_of("a", "b")
    for _ in range(10):
        received(views["b"])
    assert views["b"].peers["a"].in_flight == 5
    hear_all(views, heartbeat_of("a", instance="instance of a", counted=0), 1.0)
    assert views["b"].peers["a"].in_flight == 5, "they may be on their way there"
    hear_all(views, heartbeat_of("a", instance="instance of a", counted=0), 2.0)
    assert views["b"].peers["a"].in_flight == 0, "they are not, by now"


def test_who_is_sure_and_who_is_deaf() -> None:
    view = Membership("a", "i", INTERVAL)
    assert not view.confirmed(0.0)
    view.on_heartbeat(heartbeat_of("a", sent=10.0), 10.1)
    assert view.confirmed(12.0)
    assert not view.confirmed(12.1)
    assert not view.heartbeat_lost(13.0)
    assert view.heartbeat_lost(13.1)
    view.on_heartbeat(heartbeat_of("a", sent=9.0), 20.0)
    assert not view.confirmed(20.0), "an old heartbeat that comes in late proves nothing"
    view.on_heartbeat(heartbeat_of("a", sent=20.0), 20.1)
    assert view.confirmed_for(21.0) == 21.0 - 20.1
    view.on_heartbeat(heartbeat_of("a", sent=21.0), 21.1)
    assert view.confirmed_for(22.1) == 22.1 - 20.1


def test_lost_is_judged_only_by_who_was_listening_all_the_time() -> None:
    view = Membership("a", "i", INTERVAL)
    view.on_heartbeat(heartbeat_of("b"), 0.0)
    for second in range(40):
        view.on_heartbeat(heartbeat_of("a", sent=float(second)), float(second))
    assert not view.is_alive("b", 39.0)
    assert view.is_lost("b", 30.0, 39.0)
    assert view.is_lost("never heard", 30.0, 39.0)
    view.on_heartbeat(heartbeat_of("a", sent=60.0), 60.0)
    assert not view.is_lost("b", 30.0, 61.0), "it was deaf for a while, and b may have been back then"


def test_a_double_is_one_that_keeps_coming() -> None:
    view = Membership("a", "ours", INTERVAL)
    for now in (0.0, 0.1, 0.2):
        view.on_heartbeat(heartbeat_of("a", instance="old"), now)
    assert not view.duplicate_detected(0.3, 30.0), "a burst of old heartbeats of the daemon that we follow"
    for now in (1.0, 2.0, 3.0, 4.0):
        view.on_heartbeat(heartbeat_of("a", instance="old"), now)
    assert view.duplicate_detected(4.0, 30.0)
    assert not view.duplicate_detected(40.0, 30.0), "it is gone"
