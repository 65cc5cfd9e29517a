"""What a session will be, and which clouds can start it: the same answer in every cloud."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.cluster import placement
from pycloud.cluster.placement import Peer
from pycloud.errors import RequestError
from pycloud.protocol.container_spec import RUNTIME_NAMES
from pycloud.protocol.decoding import RejectedRequest, decode_heartbeat, decode_request
from pycloud.protocol.messages import CreateRequest, Heartbeat, encode

SHELL = CreateRequest("r", "exec sleep 1", runtimes=("script",))
IMAGE = CreateRequest("r", 'nginx\n{"port": 80}', runtimes=("docker",))
EITHER = CreateRequest("r", "nginx", runtimes=("script", "docker"))


def peer(*runtimes: str, unavailable: tuple[str, ...] = (), **fields: object) -> Peer:
    """A cloud that runs these kinds."""
    known = {"score": 1.0, "time": 0.0, "sessions": 0, "instance": "i", "version": "2", "host": "h", "heartbeat": 1.0}
    kinds = {"runtime": runtimes[0], "runtimes": runtimes, "unavailable": unavailable}
    return Peer(Heartbeat(id="", **{**known, **kinds, **fields}), 0.0)  # type: ignore[arg-type]


def clouds(**peers: Peer) -> dict[str, Peer]:
    """These clouds under these names."""
    for name, each in peers.items():
        each.last_heartbeat = Heartbeat(
            **{f: getattr(each.last_heartbeat, f) for f in Heartbeat.__struct_fields__} | {"id": name}
        )
    return peers


def why(peers: dict[str, Peer], request: CreateRequest) -> tuple[str, str]:
    """Why nobody takes a create: code and words."""
    assert placement.candidates(peers, request, 0.0) == []
    error: RequestError = placement.rejection_for(peers, request, 0.0)
    return error.code, error.message


def test_clouds_of_the_wrong_kind_are_no_candidates() -> None:
    there = clouds(a=peer("script"), b=peer("docker"), c=peer("script", "docker"))
    assert placement.candidates(there, SHELL, 0.0) == ["a", "c"]
    assert placement.candidates(there, IMAGE, 0.0) == ["b", "c"]


def test_an_image_alone_is_one_only_where_no_cloud_runs_scripts() -> None:
    assert placement.candidates(clouds(a=peer("script"), b=peer("docker")), EITHER, 0.0) == ["a"]
    assert placement.candidates(clouds(b=peer("docker")), EITHER, 0.0) == ["b"]
    full = clouds(a=peer("script", capacity=0), b=peer("docker"))
    assert why(full, EITHER)[0] == "no_capacity", "what it is does not depend on who has room"


def test_only_where_no_living_cloud_fits_the_runtime_is_wrong() -> None:
    code, message = why(clouds(a=peer("script"), b=peer("script")), IMAGE)
    assert code == "wrong_runtime"
    assert message == "this is for runtime docker, and the clouds that fit have script"
    assert why(clouds(a=peer("script"), b=peer("docker", capacity=0)), IMAGE)[0] == "no_capacity"
    assert why(clouds(a=peer("docker")), CreateRequest("r", "", cloud="z", runtimes=("docker",)))[0] == "no_match"


def test_a_cloud_whose_engine_is_away_takes_no_containers_and_still_takes_scripts() -> None:
    away = peer("script", "docker", unavailable=("docker",))
    assert placement.candidates(clouds(a=away), SHELL, 0.0) == ["a"]
    assert placement.candidates(clouds(a=away, b=peer("docker")), IMAGE, 0.0) == ["b"]
    assert why(clouds(a=away), IMAGE)[0] == "engine_unavailable"


def test_a_rank_of_an_older_cloud_names_one_runtime() -> None:
    old = clouds(a=peer("script", runtimes=()))
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
    clouds(**there)
    kind = placement.runtime_for(list(there.values()), request)
    for name in placement.candidates(there, request, 0.0):
        rank = there[name].last_heartbeat
        assert kind in rank.runtimes
        assert kind not in rank.unavailable
        assert rank.capacity is None


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"script": "exec sleep 1"}, ("script",)),
        ({"script": 'nginx\n{"port": 80}'}, ("docker",)),
        ({"script": 'nginx\n{"port": 80}', "runtime": "script"}, ("script",)),
        ({"script": "nginx"}, RUNTIME_NAMES),
        ({"script": "nginx", "runtime": "docker"}, ("docker",)),
        ({"script": "nginx", "runtime": None}, RUNTIME_NAMES),
    ],
)
def test_what_a_create_may_be(fields: dict[str, str], kinds: tuple[str, ...]) -> None:
    request = decode_request("create", _payload(fields), 1000)
    assert isinstance(request, CreateRequest)
    assert request.runtimes == kinds


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(RejectedRequest) as caught:
        decode_request("create", _payload({"script": "x", "runtime": "swarm"}), 1000)
    assert caught.value.error.code == "bad_request"
    assert caught.value.error.message == "create: `runtime` is 'swarm'; it is one of script, docker"


def test_nobody_sets_what_is_computed() -> None:
    request = decode_request("create", _payload({"script": "echo x", "(computed kinds)": ["docker"]}), 1000)
    assert isinstance(request, CreateRequest)
    assert request.runtimes == ("script",)


def _payload(fields: dict[str, str]) -> bytes:
    return json.dumps({"id": "r", **fields}).encode()


def test_a_rank_carries_its_kinds_over_the_wire() -> None:
    rank = peer("script", "docker", unavailable=("docker",)).last_heartbeat
    assert decode_heartbeat(encode(rank)) == rank
