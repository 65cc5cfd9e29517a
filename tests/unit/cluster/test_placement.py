"""Who takes a create: the same answer in every cloud, and never one that cannot."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pycloud.cluster import placement
from pycloud.cluster.membership import Membership
from pycloud.cluster.placement import Peer
from pycloud.protocol.messages import HEARTBEATS_MISSED, CreateRequest, Heartbeat

ANY = CreateRequest("r", "script")
BEAT = 1.0


def rank_of(name: str, **fields: object) -> Heartbeat:
    """A rank of cloud ``name``, as good as any unless ``fields`` say otherwise."""
    known: dict[str, object] = {"score": 1.0, "sessions": 0, "instance": "i"} | fields
    return Heartbeat(id=name, time=0.0, version="2", host="h", runtime="script", heartbeat=BEAT, **known)  # type: ignore[arg-type]


names = st.sampled_from("abcdefghijkl")
ranks = st.builds(
    rank_of,
    names,
    score=st.floats(0, 100),
    sessions=st.integers(0, 5),
    capacity=st.none() | st.integers(0, 5),
    draining=st.booleans(),
    deaf=st.booleans(),
    labels=st.dictionaries(st.sampled_from(["region"]), st.sampled_from(["eu", "us"])),
)
peers = st.dictionaries(names, st.tuples(ranks, st.floats(0, 10)), max_size=12).map(
    lambda found: {name: Peer(_renamed(rank, name), heard) for name, (rank, heard) in found.items()}
)
requests = st.builds(
    CreateRequest,
    st.just("r"),
    st.just("script"),
    where=st.dictionaries(st.just("region"), st.sampled_from(["eu", "us"])),
    cloud=st.none() | names,
)


def _renamed(rank: Heartbeat, name: str) -> Heartbeat:
    return rank_of(name, **{f: getattr(rank, f) for f in Heartbeat.__struct_fields__ if f not in _FIXED})


_FIXED = ("id", "time", "version", "host", "runtime", "heartbeat")


@given(peers, requests, st.floats(0, 12))
def test_no_cloud_is_asked_that_cannot(view: dict[str, Peer], request: CreateRequest, now: float) -> None:
    for name in placement.candidates(view, request, now):
        rank = view[name].last_heartbeat
        assert not rank.draining
        assert not rank.deaf
        assert now - view[name].last_seen <= HEARTBEATS_MISSED * BEAT
        assert rank.capacity is None or rank.sessions < rank.capacity
        assert request.cloud in (None, name)
        assert all(rank.labels.get(key) == value for key, value in request.where.items())


@given(peers, requests, st.floats(0, 12), st.randoms())
def test_every_cloud_with_the_same_view_names_the_same_order(
    view: dict[str, Peer], request: CreateRequest, now: float, random: object
) -> None:
    shuffled = dict(sorted(view.items(), key=lambda _item: random.random()))  # type: ignore[attr-defined]
    assert placement.candidates(view, request, now) == placement.candidates(shuffled, request, now)
    assert placement.responders(view, now) == placement.responders(shuffled, now)


@given(peers, requests, st.floats(0, 12))
def test_where_nobody_can_there_is_a_reason(view: dict[str, Peer], request: CreateRequest, now: float) -> None:
    if not placement.candidates(view, request, now):
        assert placement.rejection_for(view, request, now).code in ("no_match", "no_capacity")


def test_a_score_is_sessions_and_half_of_cpu_and_memory_by_weight() -> None:
    assert placement.score(7, 30.0, 50.0) == 47
    assert placement.score(7, 30.0, 50.0, per_session=2.0) == 54
    assert placement.score(7, 30.0, 50.0, per_load=0.5) == 27


def hear_all(views: dict[str, Membership], rank: Heartbeat, now: float) -> None:
    """A rank comes in everywhere."""
    for view in views.values():
        view.on_heartbeat(rank, now)


def swarm(*ids: str) -> dict[str, Membership]:
    """Views of clouds that all have heard each other."""
    views = {name: Membership(name, f"instance of {name}", BEAT) for name in ids}
    for name in ids:
        hear_all(views, rank_of(name, instance=f"instance of {name}", sent=0.0), 0.0)
    return views


def test_a_thousand_creates_between_two_heartbeats_are_spread_evenly() -> None:
    views = swarm("a", "b", "c")
    taken = Counter(
        name for _ in range(1000) for name, view in views.items() if view.position(ANY, 0.5, count=True)[0] == 0
    )
    assert sorted(taken.values()) == [333, 333, 334]


@given(st.lists(st.sampled_from(["create", "a", "b", "c"]), max_size=300), st.integers(0, 20))
def test_ranks_in_the_middle_of_a_burst_change_nothing(happened: list[str], lag: int) -> None:
    """A rank is published by a cloud that has seen all but the last ``lag`` creates since its last rank."""
    views = swarm("a", "b", "c")
    taken: Counter[str] = Counter()
    history: list[Counter[str]] = [Counter()]
    at_last_rank: Counter[str] = Counter()
    for event in happened:
        if event == "create":
            firsts = [name for name, view in views.items() if view.position(ANY, 0.5, count=True)[0] == 0]
            assert len(firsts) == 1, "all agree"
            taken[firsts[0]] += 1
            history.append(Counter(taken))
        else:
            seen = history[max(0, len(history) - 1 - lag)][event]
            seen = max(seen, at_last_rank[event])
            at_last_rank[event] = taken[event]
            rank = rank_of(event, instance=f"instance of {event}", score=1.0 + seen, sessions=seen, counted=seen)
            hear_all(views, rank, 0.5)
    assert max(taken.values(), default=0) - min((taken[name] for name in views), default=0) <= 1


def test_a_cloud_that_was_restarted_is_counted_anew() -> None:
    views = swarm("a", "b")
    for _ in range(10):
        for view in views.values():
            view.position(ANY, 0.5, count=True)
    views["a"].on_heartbeat(rank_of("b", instance="another", counted=0), 0.6)
    assert views["a"].peers["b"].in_flight == 0


def test_who_missed_creates_agrees_again_after_a_rank() -> None:
    views = swarm("a", "b")
    for _ in range(10):
        views["b"].position(ANY, 0.5, count=True)
    assert views["b"].peers["a"].in_flight == 5
    hear_all(views, rank_of("a", instance="instance of a", counted=0), 1.0)
    assert views["b"].peers["a"].in_flight == 5, "they may be on their way there"
    hear_all(views, rank_of("a", instance="instance of a", counted=0), 2.0)
    assert views["b"].peers["a"].in_flight == 0, "they are not, by now"


def test_who_is_sure_and_who_is_deaf() -> None:
    view = Membership("a", "i", BEAT)
    assert not view.confirmed(0.0)
    view.on_heartbeat(rank_of("a", sent=10.0), 10.1)
    assert view.confirmed(12.0)
    assert not view.confirmed(12.1)
    assert not view.heartbeat_lost(13.0)
    assert view.heartbeat_lost(13.1)
    view.on_heartbeat(rank_of("a", sent=9.0), 20.0)
    assert not view.confirmed(20.0), "an old rank that comes in late proves nothing"
    view.on_heartbeat(rank_of("a", sent=20.0), 20.1)
    assert view.confirmed_for(21.0) == 21.0 - 20.1
    view.on_heartbeat(rank_of("a", sent=21.0), 21.1)
    assert view.confirmed_for(22.1) == 22.1 - 20.1


def test_lost_is_judged_only_by_who_was_listening_all_the_time() -> None:
    view = Membership("a", "i", BEAT)
    view.on_heartbeat(rank_of("b"), 0.0)
    for second in range(40):
        view.on_heartbeat(rank_of("a", sent=float(second)), float(second))
    assert not view.is_alive("b", 39.0)
    assert view.is_lost("b", 30.0, 39.0)
    assert view.is_lost("never heard", 30.0, 39.0)
    view.on_heartbeat(rank_of("a", sent=60.0), 60.0)
    assert not view.is_lost("b", 30.0, 61.0), "it was deaf for a while, and b may have been back then"


def test_a_double_is_one_that_keeps_coming() -> None:
    view = Membership("a", "ours", BEAT)
    for now in (0.0, 0.1, 0.2):
        view.on_heartbeat(rank_of("a", instance="old"), now)
    assert not view.duplicate_detected(0.3, 30.0), "a burst of old ranks of the daemon that we follow"
    for now in (1.0, 2.0, 3.0, 4.0):
        view.on_heartbeat(rank_of("a", instance="old"), now)
    assert view.duplicate_detected(4.0, 30.0)
    assert not view.duplicate_detected(40.0, 30.0), "it is gone"
