"""What is said for a stream of output: encodings, requests that are refused, and bounds of windows and leases."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.protocol.decoding import RejectedRequest, decode_direct
from pycloud.protocol.log_stream import decode_output, encode_output, trim_partial_character
from pycloud.protocol.messages import encode
from pycloud.protocol.requests import MAX_LEASE, MAX_WINDOW, FollowRequest


@given(st.binary(max_size=300))
def test_any_output_travels(data: bytes) -> None:
    message = encode_output(7, data)
    assert decode_output(message) == data
    assert len(encode(message)) < 100 + 1.5 * len(data)


def test_text_travels_as_text_and_nothing_grows_much() -> None:
    assert encode_output(0, "grüße\n".encode()).data == "grüße\n"
    assert encode_output(0, b"\xff").encoding == "base64"
    assert len(encode(encode_output(0, b"\0" * 3000))) < 4100


@given(st.text(max_size=20), st.integers(0, 60))
def test_characters_are_not_cut(text: str, length: int) -> None:
    data = text.encode()[:length]
    kept = trim_partial_character(data)
    assert data.startswith(kept)
    assert len(data) - len(kept) < 4
    if data:
        assert kept
    if len(data) > 3:
        kept.decode()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"offset": 1, "tail": 2}, "cannot both"),
        ({"tail": 1, "since": 2.0}, "cannot both"),
        ({"offset": -1}, "`offset` is -1"),
        ({"lines": 1_000_001}, "`lines`"),
        ({"kind": "input"}, "`kind`"),
        ({"offset": "1"}, "`offset`"),
        ({"session": ""}, "`session` is empty"),
    ],
)
def test_what_no_cloud_could_do_is_refused(fields: dict[str, object], said: str) -> None:
    payload = json.dumps({"op": "follow", "id": "r", "session": "s", **fields}).encode()
    with pytest.raises(RejectedRequest) as caught:
        decode_direct(payload, 1000)
    assert said in caught.value.error.message


def test_windows_and_leases_are_bounded() -> None:
    asked = FollowRequest("r", "s", window=10**9, lease=1e9)
    assert (asked.granted_window, asked.granted_lease) == (MAX_WINDOW, MAX_LEASE)
    assert FollowRequest("r", "s", window=-5).granted_window > 0
    assert FollowRequest("r", "s", lease=-5).granted_lease > 0
    both = decode_direct(b'{"op": "follow", "id": "r", "session": "s", "lines": 5, "since": 17.5, "new": 1}', 1000)
    assert isinstance(both, FollowRequest)
    assert (both.lines, both.since) == (5, 17.5)
