"""What a session will be, and which nodes can start it: the same answer in every node."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pycloud.cluster import placement
from pycloud.cluster.placement import Peer
from pycloud.errors import RequestError
from pycloud.protocol.requests import CreateRequest
from tests.support.heartbeats import heartbeat_of

SHELL = CreateRequest("r", "exec sleep 1", runtimes=("script",))
IMAGE = CreateRequest("r", 'nginx\n{"port": 80}', runtimes=("docker",))
EITHER = CreateRequest("r", "nginx", runtimes=("script", "docker"))


def peer(*runtimes: str, unavailable: tuple[str, ...] = (), **fields: object) -> Peer:
    """A node that runs these kinds."""
    kinds = {"runtime": runtimes[0], "runtimes": runtimes, "unavailable": unavailable}
    return Peer(heartbeat_of("", **{**kinds, **fields}), 0.0)


def nodes(**peers: Peer) -> dict[str, Peer]:
    """These nodes under these names."""
    for name, each in peers.items():
        each.last_heartbeat = msgspec.structs.replace(each.last_heartbeat, id=name)
    return peers


def why(peers: dict[str, Peer], request: CreateRequest) -> tuple[str, str]:
    """Why nobody takes a create: code and words."""
    assert placement.candidates(peers, request, 0.0) == []
    error: RequestError = placement.rejection_for(peers, request, 0.0)
    return error.code, error.message


def test_clouds_of_the_wrong_kind_are_no_candidates() -> None:
    there = nodes(a=peer("script"), b=peer("docker"), c=peer("script", "docker"))
    assert placement.candidates(there, SHELL, 0.0) == ["a", "c"]
    assert placement.candidates(there, IMAGE, 0.0) == ["b", "c"]


def test_an_image_alone_is_one_only_where_no_cloud_runs_scripts() -> None:
    assert placement.candidates(nodes(a=peer("script"), b=peer("docker")), EITHER, 0.0) == ["a"]
    assert placement.candidates(nodes(b=peer("docker")), EITHER, 0.0) == ["b"]
    full = nodes(a=peer("script", capacity=0), b=peer("docker"))
    assert why(full, EITHER)[0] == "no_capacity", "what it is does not depend on who has room"


def test_only_where_no_living_cloud_fits_the_runtime_is_wrong() -> None:
    code, message = why(nodes(a=peer("script"), b=peer("script")), IMAGE)
    assert code == "wrong_runtime"
    assert message == (
        "this is a container image, but no eligible node has a container engine. "
        "Start Docker on one, or use --runtime script"
    )
    assert why(nodes(a=peer("script"), b=peer("docker", capacity=0)), IMAGE)[0] == "no_capacity"
    assert why(nodes(a=peer("docker")), CreateRequest("r", "", cloud="z", runtimes=("docker",)))[0] == "no_match"


def test_a_cloud_whose_engine_is_away_takes_no_containers_and_still_takes_scripts() -> None:
    away = peer("script", "docker", unavailable=("docker",))
    assert placement.candidates(nodes(a=away), SHELL, 0.0) == ["a"]
    assert placement.candidates(nodes(a=away, b=peer("docker")), IMAGE, 0.0) == ["b"]
    assert why(nodes(a=away), IMAGE)[0] == "engine_unavailable"


def test_a_rank_of_an_older_cloud_names_one_runtime() -> None:
    old = nodes(a=peer("script", runtimes=()))
    assert placement.candidates(old, SHELL, 0.0) == ["a"]
    assert why(old, IMAGE)[0] == "wrong_runtime"


kinds = st.sampled_from([("script",), ("docker",), ("script", "docker"), ("docker", "script")])
peers = st.builds(
    lambda kinds, down, full: peer(*kinds, unavailable=down, capacity=0 if full else None),
    kinds,
    st.sampled_from([(), ("docker",)]),
    st.booleans(),
)


@given(st.dictionaries(st.sampled_from("abcd"), peers), st.sampled_from([SHELL, IMAGE, EITHER]))
def test_whoever_is_asked_can_start_it_as_the_same_kind(there: dict[str, Peer], request: CreateRequest) -> None:
    nodes(**there)
    kind = placement.runtime_for(list(there.values()), request)
    for name in placement.candidates(there, request, 0.0):
        heartbeat = there[name].last_heartbeat
        assert kind in heartbeat.runtimes
        assert kind not in heartbeat.unavailable
        assert heartbeat.capacity is None
