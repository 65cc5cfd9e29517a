"""Streams of output, as far as they are decisions: windows, leases, encodings, and what a viewer makes of it all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.client.logs import Ended, Output, Skipped, StreamPosition
from pycloud.protocol.decoding import RejectedRequest, decode_direct
from pycloud.protocol.log_stream import decode_output, encode_output, lease_of, trim_partial_character, window_of
from pycloud.protocol.messages import (
    MAX_LEASE,
    MAX_WINDOW,
    FollowRequest,
    StreamClosed,
    StreamEnd,
    StreamKeepalive,
    StreamOutput,
    StreamSkipped,
    encode,
)
from pycloud.runtimes.script.log_reader import RESUME_BEFORE_END, resume_offset
from pycloud.sessions.log_streams import FlowControl

WINDOW = 64 * 1024


def credit(lease: float = 15.0) -> FlowControl:
    return FlowControl(1000, WINDOW, lease, now=100.0)


def test_no_more_is_on_its_way_than_the_window() -> None:
    account = credit()
    sizes = []
    while room := account.available():
        sizes.append(min(room, 10_000))
        account.sent(sizes[-1], 100.0)
    assert WINDOW * 3 // 4 <= sum(sizes) <= WINDOW
    assert account.offset == 1000 + sum(sizes)


def test_what_was_dealt_with_makes_room_again() -> None:
    account = credit()
    account.sent(WINDOW // 2, 100.0)
    account.sent(WINDOW // 2, 100.0)
    assert account.available() == 0
    account.acknowledged(1000 + WINDOW // 2 - 1)
    assert account.available() == 0
    account.acknowledged(1000 + WINDOW // 2)
    assert account.available() == WINDOW // 2
    account.acknowledged(10**9)
    assert account.available() == WINDOW


def test_what_is_skipped_takes_no_room() -> None:
    account = credit()
    account.sent(WINDOW // 4, 100.0)
    account.skip(10**9)
    account.sent(WINDOW // 4, 100.0)
    assert (account.offset, account.available()) == (1000 + 10**9 + WINDOW // 2, WINDOW // 2)
    account.acknowledged(account.offset)
    assert account.available() == WINDOW


def test_a_little_room_is_not_worth_a_message() -> None:
    account = credit()
    account.sent(WINDOW - 100, 100.0)
    assert account.available() == 0


def test_a_silent_viewer_loses_its_lease() -> None:
    account = credit(lease=6.0)
    assert not account.expired(105.9)
    account.touch(105.0)
    assert not account.expired(110.9)
    assert account.expired(111.0)


def test_an_owner_with_nothing_to_say_says_that_it_lives() -> None:
    account = credit(lease=6.0)
    assert account.wait_timeout(100.0) == 2.0
    assert not account.keepalive_due(101.9)
    account.sent(10, 101.0)
    assert not account.keepalive_due(102.0)
    assert account.keepalive_due(103.0)
    assert not account.keepalive_due(103.0)
    assert account.wait_timeout(104.5) == 0.5
    assert account.keepalive_due(105.5)
    assert account.wait_timeout(105.5) == 0.5  # the lease is over before the next beat
    assert account.wait_timeout(200.0) == 0.0


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
    ("wanted", "kept", "begun", "expected"),
    [
        (500, 500, True, 500),  # all is there
        (500, 100, True, 500),
        (500, 800, False, 800),  # who begins gets the oldest that is kept
        (500, 800, True, 10**9 - RESUME_BEFORE_END),  # who was overtaken goes on close to the end
        (500, 10**9 - 10, True, 10**9 - 10),  # but not with what is freed
    ],
)
def test_where_to_go_on_in_a_log(wanted: int, kept: int, begun: bool, expected: int) -> None:
    assert resume_offset(wanted, kept, 10**9, begun) == expected


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.integers(0, 9)), max_size=9), st.integers(0, 9))
def test_what_comes_twice_is_taken_once(pieces: list[tuple[bytes, int]], begin: int) -> None:
    """However often a stream is opened anew, and however far back: every byte comes once."""
    written, messages = b"", []
    for data, back in pieces:
        at = max(0, len(written) - back)
        written += data
        messages.append(encode_output(begin + at, written[at:]))
    progress, seen = StreamPosition(), b""
    progress.start_at(begin)
    for message in messages:
        for piece in progress.apply(message) or []:
            assert isinstance(piece, Output)
            assert piece.offset == begin + len(seen)
            seen += piece.data
    assert seen == written


@pytest.mark.parametrize(
    "message", [encode_output(10, b"later"), StreamKeepalive(10), StreamSkipped(10, 5), StreamEnd(10, "x")]
)
def test_what_is_missing_is_asked_for_once_and_is_lost_then(message: StreamOutput | StreamKeepalive) -> None:
    progress = StreamPosition()
    assert progress.apply(message) is None
    found = progress.apply(message)
    assert found
    assert found[0] == Skipped(0, 10)


def test_what_was_missing_and_came_is_not_lost() -> None:
    progress = StreamPosition()
    assert progress.apply(encode_output(3, b"def")) is None
    assert progress.apply(encode_output(0, b"abcdef")) == [Output(0, b"abcdef")]
    assert progress.apply(encode_output(9, b"j")) is None


def test_what_an_owner_says_of_gaps_and_ends() -> None:
    progress = StreamPosition()
    progress.start_at(5)
    assert progress.apply(StreamSkipped(5, 10)) == [Skipped(5, 10)]
    assert progress.apply(StreamSkipped(5, 10)) == []
    assert progress.apply(StreamSkipped(10, 10)) == [Skipped(15, 5)]
    assert progress.apply(StreamSkipped(20, None)) == [Skipped(20, None)]
    assert progress.apply(encode_output(20, b"x", "a place")) == [Output(20, b"x")]
    assert progress.resume_token == "a place"
    assert progress.apply(StreamKeepalive(21)) == []
    assert progress.apply(StreamClosed("why")) == []
    assert progress.apply(StreamEnd(21, "exited", 0)) == [Ended(21, "exited", 0)]
    assert progress.apply(StreamEnd(21, "exited", None, "lost")) == [Ended(21, "exited", None, "lost")]


def test_nonsense_is_an_error() -> None:
    with pytest.raises(ValueError, match="base64-encoded"):
        StreamPosition().apply(StreamOutput(0, "x", "base64"))


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
    assert (window_of(asked), lease_of(asked)) == (MAX_WINDOW, MAX_LEASE)
    assert window_of(FollowRequest("r", "s", window=-5)) > 0
    assert lease_of(FollowRequest("r", "s", lease=-5)) > 0
    both = decode_direct(b'{"op": "follow", "id": "r", "session": "s", "lines": 5, "since": 17.5, "new": 1}', 1000)
    assert isinstance(both, FollowRequest)
    assert (both.lines, both.since) == (5, 17.5)
