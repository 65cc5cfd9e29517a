"""An engine's stream of logs taken apart, and places in it found again."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.errors import BadRequest
from pycloud.runtimes.docker.engine.log_frames import (
    ALL_MESSAGES,
    BEGINNING,
    MAX_MESSAGE_BYTES,
    Demultiplexer,
    LogMessage,
    LogPosition,
    PositionSearch,
    parse_position,
    position_at,
)


def stamp(second: int) -> str:
    return f"2026-11-25T15:00:{second:02}.123456789Z"


def frame(message: LogMessage) -> bytes:
    body = f"{message.stamp} ".encode() + message.data
    return struct.pack(">BxxxL", 1, len(body)) + body


def fed(demultiplexer: Demultiplexer, data: bytes, size: int) -> list[LogMessage]:
    found = [each for at in range(0, len(data), size) for each in demultiplexer.feed(data[at : at + size])]
    return [*found, *demultiplexer.flush()]


MESSAGES = st.lists(st.builds(LogMessage, st.integers(0, 5).map(stamp), st.binary(max_size=40)), max_size=8)


@given(MESSAGES, st.integers(1, 99))
def test_frames_in_any_pieces(messages: list[LogMessage], size: int) -> None:
    assert fed(Demultiplexer(terminal=False), b"".join(map(frame, messages)), size) == messages


@given(
    st.lists(st.sampled_from([b"", b"a", b"b" * MAX_MESSAGE_BYTES, b"c" * 40_000]), max_size=4), st.integers(1, 9999)
)
def test_a_terminal_has_no_frames(lines: list[bytes], size: int) -> None:
    written = b"".join(line + b"\r\n" for line in lines) + b"$ "
    messages = []
    for line in written.splitlines(keepends=True):
        messages += [line[at : at + MAX_MESSAGE_BYTES] for at in range(0, len(line), MAX_MESSAGE_BYTES)]
    raw = b"".join(stamp(1).encode() + b" " + message for message in messages)
    assert [each.data for each in fed(Demultiplexer(terminal=True), raw, size)] == messages


@given(MESSAGES, st.integers(0, 8), st.booleans())
def test_every_place_is_found_again(messages: list[LogMessage], count: int, older: bool) -> None:
    """Whatever the times are, out of order or the same: what comes after a place is what came after it before."""
    before = PositionSearch(BEGINNING)
    for message in messages[:count]:
        assert before.accept(message) == (True, False)
    again = PositionSearch(parse_position(str(before.position)) if before.position != BEGINNING else BEGINNING)
    highest = max((message.stamp for message in messages[:count]), default="")
    first = next((i for i, message in enumerate(messages) if message.stamp == highest), 0)
    given_anew = messages if older else messages[first:]  # what an engine gives that is asked for what came since then
    taken = [(message, lost) for message in given_anew for wanted, lost in [again.accept(message)] if wanted]
    assert taken == [(message, False) for message in messages[count:]]


def test_a_place_that_was_thrown_away_is_said_to_be_lost() -> None:
    search = PositionSearch(LogPosition(stamp(3), 2))
    assert search.accept(LogMessage(stamp(1), b"")) == (False, False)
    assert search.accept(LogMessage(stamp(4), b"")) == (True, True)
    assert search.accept(LogMessage(stamp(2), b"")) == (True, False)
    assert search.position == LogPosition(stamp(4), 2)


def test_behind_all_that_was_written() -> None:
    search = PositionSearch(LogPosition(stamp(3), ALL_MESSAGES))
    assert [search.accept(LogMessage(stamp(at), b""))[0] for at in (2, 3, 3, 4, 3)] == [False, False, False, True, True]
    nothing_of_it = PositionSearch(LogPosition(stamp(3), ALL_MESSAGES))
    assert nothing_of_it.accept(LogMessage(stamp(4), b"")) == (True, False)
    assert nothing_of_it.position == LogPosition(stamp(4), 1)


def test_what_engines_are_asked_for() -> None:
    assert position_at(1795619001.5) == LogPosition("2026-11-25T15:03:21.500000000Z", 0)
    assert position_at(1795619001.5).since() == "1795619001.500000000"
    assert LogPosition(stamp(3), 1).since() == "1795618802.873456789"  # a little earlier


@pytest.mark.parametrize("text", ["", "x", "2026-13-25T15:00:00.123456789Z/1", f"{stamp(1)}/-1"])
def test_no_places(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_position(text)


@pytest.mark.parametrize("since", [1e300, -1e300])
def test_no_times(since: float) -> None:
    with pytest.raises(BadRequest):
        position_at(since)
