"""What a viewer makes of a stream of output: what it has already, what is missing, and how it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.client.logs import Ended, Output, Skipped, StreamPosition
from pycloud.protocol.log_stream import encode_output
from pycloud.protocol.messages import StreamClosed, StreamEnd, StreamKeepalive, StreamOutput, StreamSkipped


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.integers(0, 9)), max_size=9), st.integers(0, 9))
def test_what_comes_twice_is_taken_once(pieces: list[tuple[bytes, int]], begin: int) -> None:
    """However often a stream is opened anew, and however far back: every byte comes once."""
    written, messages = b"", []
    for data, back in pieces:
        at = max(0, len(written) - back)
        written += data
        messages.append(encode_output(begin + at, written[at:]))
    position, seen = StreamPosition(), b""
    position.start_at(begin)
    for message in messages:
        for piece in position.apply(message) or []:
            assert isinstance(piece, Output)
            assert piece.offset == begin + len(seen)
            seen += piece.data
    assert seen == written


@pytest.mark.parametrize(
    "message", [encode_output(10, b"later"), StreamKeepalive(10), StreamSkipped(10, 5), StreamEnd(10, "x")]
)
def test_what_is_missing_is_asked_for_once_and_is_lost_then(message: StreamOutput | StreamKeepalive) -> None:
    position = StreamPosition()
    assert position.apply(message) is None
    found = position.apply(message)
    assert found
    assert found[0] == Skipped(0, 10)


def test_what_was_missing_and_came_is_not_lost() -> None:
    position = StreamPosition()
    assert position.apply(encode_output(3, b"def")) is None
    assert position.apply(encode_output(0, b"abcdef")) == [Output(0, b"abcdef")]
    assert position.apply(encode_output(9, b"j")) is None


def test_what_an_owner_says_of_gaps_and_ends() -> None:
    position = StreamPosition()
    position.start_at(5)
    assert position.apply(StreamSkipped(5, 10)) == [Skipped(5, 10)]
    assert position.apply(StreamSkipped(5, 10)) == []
    assert position.apply(StreamSkipped(10, 10)) == [Skipped(15, 5)]
    assert position.apply(StreamSkipped(20, None)) == [Skipped(20, None)]
    assert position.apply(encode_output(20, b"x", "a place")) == [Output(20, b"x")]
    assert position.resume_token == "a place"
    assert position.apply(StreamKeepalive(21)) == []
    assert position.apply(StreamClosed("why")) == []
    assert position.apply(StreamEnd(21, "exited", 0)) == [Ended(21, "exited", 0)]
    assert position.apply(StreamEnd(21, "exited", None, "lost")) == [Ended(21, "exited", None, "lost")]


def test_nonsense_is_an_error() -> None:
    with pytest.raises(ValueError, match="base64-encoded"):
        StreamPosition().apply(StreamOutput(0, "x", "base64"))
