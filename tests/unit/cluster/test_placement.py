"""Who takes a create: the same answer in every node, and never one that cannot."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pycloud.cluster import placement
from pycloud.cluster.placement import Peer
from pycloud.protocol.messages import HEARTBEATS_MISSED
from pycloud.protocol.requests import CreateRequest
from tests.support.heartbeats import INTERVAL, heartbeat_of

names = st.sampled_from("abcdefghijkl")
heartbeats = st.builds(
    heartbeat_of,
    names,
    score=st.floats(0, 100),
    sessions=st.integers(0, 5),
    capacity=st.none() | st.integers(0, 5),
    draining=st.booleans(),
    deaf=st.booleans(),
    labels=st.dictionaries(st.sampled_from(["region"]), st.sampled_from(["eu", "us"])),
)
peers = st.dictionaries(names, st.tuples(heartbeats, st.floats(0, 10)), max_size=12).map(
    lambda found: {
        name: Peer(msgspec.structs.replace(heartbeat, id=name), heard) for name, (heartbeat, heard) in found.items()
    }
)
requests = st.builds(
    CreateRequest,
    st.just("r"),
    st.just("script"),
    where=st.dictionaries(st.just("region"), st.sampled_from(["eu", "us"])),
    cloud=st.none() | names,
)


@given(peers, requests, st.floats(0, 12))
def test_no_cloud_is_asked_that_cannot(view: dict[str, Peer], request: CreateRequest, now: float) -> None:
    for name in placement.candidates(view, request, now):
        heartbeat = view[name].last_heartbeat
        assert not heartbeat.draining
        assert not heartbeat.deaf
        assert now - view[name].last_seen <= HEARTBEATS_MISSED * INTERVAL
        assert heartbeat.capacity is None or heartbeat.sessions < heartbeat.capacity
        assert request.cloud in (None, name)
        assert all(heartbeat.labels.get(key) == value for key, value in request.where.items())


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
