"""Whatever bytes come in: a request, a refusal or a reason to drop it, and never anything else; heartbeats, too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.protocol.container_spec import RUNTIME_NAMES
from pycloud.protocol.decoding import (
    DecodeError,
    RejectedRequest,
    decode_broadcast,
    decode_direct,
    decode_heartbeat,
    digest_for,
    is_valid_id,
    payload_limit,
)
from pycloud.protocol.messages import encode
from pycloud.protocol.requests import (
    CreateRequest,
    DrainRequest,
    InspectRequest,
    LogsRequest,
    RemoveRequest,
    StatusRequest,
)
from pycloud.protocol.validation import RESERVED_ENV
from tests.support.decode import decode_request
from tests.support.heartbeats import heartbeat_of

LIMIT = 1024
OPS = ("create", "status", "remove")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
usable_ids = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=256)


def outcome(op: str, payload: bytes, limit: int = LIMIT) -> Any:
    """The request, or what was raised instead."""
    try:
        return decode_request(op, payload, limit)
    except (DecodeError, RejectedRequest) as error:
        return error


def body(**fields: Any) -> bytes:
    """A payload."""
    return json.dumps(fields).encode()


@given(st.sampled_from(OPS), st.binary(max_size=200))
def test_any_bytes_come_to_one_of_three_outcomes(op: str, payload: bytes) -> None:
    assert isinstance(
        outcome(op, payload), CreateRequest | StatusRequest | RemoveRequest | DecodeError | RejectedRequest
    )


@given(
    st.sampled_from(OPS),
    st.dictionaries(st.sampled_from(["id", "script", "session", "env", "op", "other"]), json_values),
)
def test_any_object_is_dropped_exactly_when_its_id_is_not_usable(op: str, fields: dict[str, Any]) -> None:
    result = outcome(op, json.dumps(fields).encode())
    if isinstance(result, DecodeError):
        assert not is_valid_id(fields.get("id")) or "surrogate" in str(result) or "range" in str(result)
    else:
        assert result.id == fields["id"]


@given(usable_ids, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
def test_a_create_comes_out_as_it_went_in(request_id: str, script: str) -> None:
    request = decode_request("create", body(id=request_id, script=script), LIMIT)
    assert isinstance(request, CreateRequest)
    assert (request.id, request.script, request.env) == (request_id, script, {})


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"\xff\xfe", "not_utf8"),
        (b'{"id": "r", "script": "\xff"}', "not_utf8"),
        (b'{"id": "r", "session": "s", "more": "\xff"}', "not_utf8"),
        (b"", "not_json"),
        (b'{"id": "r"', "not_json"),
        (b'{"id": "r", "script": "x"} more', "not_json"),
        (b'{"id": "\\ud800", "script": "x"}', "not_json"),
        (b"[1]", "not_object"),
        (b'"id"', "not_object"),
        (b"{}", "no_id"),
        (b'{"id": null, "script": "x"}', "no_id"),
        (b'{"id": "", "script": "x"}', "bad_id"),
        (b'{"id": 7, "script": "x"}', "bad_id"),
        (b'{"id": "a\\u0007b", "script": "x"}', "bad_id"),
        (b'{"id": "' + b"x" * 257 + b'", "script": "x"}', "bad_id"),
        (b'{"id": "r", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", "too_deep"),
    ],
)
@pytest.mark.parametrize("op", OPS)
def test_what_cannot_be_answered_is_dropped_with_its_kind(op: str, payload: bytes, kind: str) -> None:
    error = outcome(op, payload)
    assert isinstance(error, DecodeError)
    assert error.kind == kind


@pytest.mark.parametrize(
    ("op", "fields", "field"),
    [
        ("create", {}, "script"),
        ("create", {"script": ""}, "script"),
        ("create", {"script": 3}, "script"),
        ("create", {"script": None}, "script"),
        ("create", {"script": "x", "env": []}, "env"),
        ("create", {"script": "x", "env": {"A": 1}}, "env"),
        ("create", {"script": "x", "env": {"A=B": "1"}}, "env"),
        ("create", {"script": "x", "env": {"": "1"}}, "env"),
        ("create", {"script": "x", "env": {"A": "\0"}}, "env"),
        *[("create", {"script": "x", "env": {name: "1"}}, name) for name in sorted(RESERVED_ENV)],
        ("status", {}, "session"),
        ("status", {"session": ""}, "session"),
        ("status", {"session": 5}, "session"),
        ("remove", {}, "session"),
        ("remove", {"session": ""}, "session"),
        ("remove", {"session": ["s"]}, "session"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_with_its_name(op: str, fields: dict[str, Any], field: str) -> None:
    refused = outcome(op, body(id="r", **fields))
    assert isinstance(refused, RejectedRequest)
    assert (refused.id, refused.error.code) == ("r", "bad_request")
    assert field in refused.error.message


def test_a_script_over_the_limit_is_too_large_in_bytes_of_utf8() -> None:
    assert isinstance(outcome("create", body(id="r", script="x" * LIMIT)), CreateRequest)
    for script in ("x" * (LIMIT + 1), "é" * LIMIT):
        refused = outcome("create", body(id="r", script=script))
        assert isinstance(refused, RejectedRequest)
        assert refused.error.code == "script_too_large"


def test_a_payload_that_no_script_within_the_limit_needs_is_refused_by_its_id_alone() -> None:
    filler = "x" * payload_limit(LIMIT)
    create, status = outcome("create", body(id="r", script=filler)), outcome("status", body(session=filler, id="s"))
    assert (create.id, create.error.code) == ("r", "script_too_large")
    assert (status.id, status.error.code) == ("s", "bad_request")
    assert outcome("create", body(script=filler)).kind == "no_id"
    assert outcome("create", filler.encode()).kind == "not_json"


def test_the_last_of_duplicate_keys_counts() -> None:
    request = outcome("create", b'{"id": "first", "script": "a", "id": "second", "script": "b"}')
    assert (request.id, request.script) == ("second", "b")


def test_unknown_keys_are_ignored() -> None:
    request = outcome("status", body(id="r", session="s", where={"region": "eu"}, from_the_future=[1]))
    assert (request.id, request.session) == ("r", "s")


@given(st.dictionaries(st.sampled_from(["where", "op", "x", "\u00e9"]), st.none() | st.booleans() | st.text("aé\n")))
def test_a_digest_does_not_depend_on_how_the_object_is_spelled(extra: dict[str, Any]) -> None:
    fields = {"id": "r", "session": "s", **extra}
    shuffled = dict(reversed(fields.items()))
    spellings = [
        json.dumps(fields),
        json.dumps(shuffled, ensure_ascii=False, indent=1),
        json.dumps({**fields, "op": "remove"}),
        json.dumps({key: value for key, value in fields.items() if key != "op"}),
    ]
    assert len({decode_request("remove", spelling.encode(), LIMIT).digest for spelling in spellings}) == 1


def test_the_digest_of_a_large_object_does_not_depend_on_the_order_of_its_keys_or_its_op() -> None:
    large = {"id": "r", "script": "x" * 100_000, "env": {"A": "b"}}
    spellings = [large, dict(reversed(large.items())), {**large, "op": "create"}]
    digests = {decode_request("create", json.dumps(each).encode(), 1 << 20).digest for each in spellings}
    assert len(digests) == 1
    assert decode_direct(json.dumps({**large, "op": "create"}).encode(), 1 << 20).digest in digests


def test_what_is_ignored_may_hold_anything_and_costs_little() -> None:
    request = decode_request("create", b'{"id": "r", "script": "x", "n": 1e400}', LIMIT)
    assert isinstance(request, CreateRequest)
    crowd = b'{"id": "r", "script": "x", "n": [' + b"[]," * 300_000 + b"[]]}"
    assert decode_request("create", crowd, 1 << 20).id == "r"


def test_the_digest_is_ours_whatever_the_payload_says() -> None:
    plain = decode_request("status", body(id="r", session="s"), LIMIT)
    for name in ("digest", "(computed)"):
        assert decode_request("status", body(id="r", session="s", **{name: "forged"}), LIMIT) == plain
        assert decode_request("create", body(id="r", script="s", **{name: "forged"}), LIMIT).digest != "forged"
    assert decode_direct(body(op="status", id="r", session="s"), LIMIT) == plain
    assert decode_request("status", body(id="r", session="t"), LIMIT).digest != plain.digest


@pytest.mark.parametrize("op", ["create", "status", "remove"])
def test_a_request_that_was_only_read_has_the_same_digest_once_it_is_wanted(op: str) -> None:
    fields = {"id": "r", "script": "s"} if op == "create" else {"id": "r", "session": "s"}
    for forged in ({}, {"digest": "forged"}, {"(computed)": "forged"}):
        payload = body(**fields, **forged)
        read, whole = decode_broadcast(op, payload, LIMIT), decode_request(op, payload, LIMIT)
        assert read.digest == ""
        assert digest_for(read, payload) == whole.digest == digest_for(whole, b"of no matter")


def test_another_payload_has_another_digest() -> None:
    one, other = (outcome("create", body(id="r", script=script)) for script in ("a", "b"))
    with_env = outcome("create", body(id="r", script="a", env={"A": "1"}))
    assert len({one.digest, other.digest, with_env.digest}) == 3


def test_direct_and_broadcast_are_one_request() -> None:
    broadcast = decode_request("remove", body(id="r", session="s"), LIMIT)
    assert decode_direct(body(op="remove", id="r", session="s"), LIMIT) == broadcast


def test_a_direct_request_needs_an_op_that_is_known() -> None:
    for payload in (body(id="r", session="s"), body(id="r", op="explode"), body(id="r", op=["status"])):
        with pytest.raises(DecodeError) as error:
            decode_direct(payload, LIMIT)
        assert error.value.kind == "unknown_op"
    with pytest.raises(DecodeError):
        decode_direct(b"x" * (payload_limit(LIMIT) + 1), LIMIT)


def test_logs_are_asked_for_directly_and_within_bounds() -> None:
    request = decode_direct(body(op="logs", id="r", session="s"), LIMIT)
    assert request == LogsRequest("r", "s", digest=request.digest)
    for count in (0, -1, 1 << 30):
        with pytest.raises(RejectedRequest, match="bytes"):
            decode_direct(body(op="logs", id="r", session="s", bytes=count), LIMIT)


def test_what_operators_ask_is_asked_directly() -> None:
    inspect = decode_direct(body(op="inspect", id="r", session="s", more=1), LIMIT)
    assert inspect == InspectRequest("r", "s", digest=inspect.digest)
    drain = decode_direct(body(op="drain", id="r", draining=False, cloud="c"), LIMIT)
    assert drain == DrainRequest("r", draining=False, cloud="c", digest=drain.digest)
    for wrong, said in (({}, "draining"), ({"draining": "yes"}, "draining"), ({"draining": True, "cloud": 1}, "cloud")):
        with pytest.raises(RejectedRequest, match=said) as refused:
            decode_direct(body(op="drain", id="r", **wrong), LIMIT)
        assert (refused.value.id, refused.value.error.code) == ("r", "bad_request")
    with pytest.raises(RejectedRequest, match="session"):
        decode_direct(body(op="inspect", id="r", session=""), LIMIT)


@given(st.binary(max_size=100))
def test_a_rank_decodes_or_says_why_not(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_heartbeat(payload)


@pytest.mark.parametrize(
    ("fields", "runtimes"),
    [
        ({"script": "exec sleep 1"}, ("script",)),
        ({"script": 'nginx\n{"port": 80}'}, ("docker",)),
        ({"script": 'nginx\n{"port": 80}', "runtime": "script"}, ("script",)),
        ({"script": "nginx"}, RUNTIME_NAMES),
        ({"script": "nginx", "runtime": "docker"}, ("docker",)),
        ({"script": "nginx", "runtime": None}, RUNTIME_NAMES),
    ],
)
def test_what_a_create_may_be(fields: dict[str, Any], runtimes: tuple[str, ...]) -> None:
    request = decode_request("create", body(id="r", **fields), LIMIT)
    assert isinstance(request, CreateRequest)
    assert request.runtimes == runtimes


def test_an_unknown_runtime_is_left_to_placement() -> None:
    request = decode_request("create", body(id="r", script="x", runtime="swarm"), LIMIT)
    assert isinstance(request, CreateRequest)
    assert request.runtimes == ("swarm",)


def test_nobody_sets_what_is_computed() -> None:
    request = decode_request("create", body(id="r", script="echo x", **{"(computed kinds)": ["docker"]}), LIMIT)
    assert isinstance(request, CreateRequest)
    assert request.runtimes == ("script",)


def test_a_rank_carries_its_kinds_over_the_wire() -> None:
    heartbeat = heartbeat_of("c", runtimes=("script", "docker"), unavailable=("docker",))
    assert decode_heartbeat(encode(heartbeat)) == heartbeat
