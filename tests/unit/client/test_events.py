"""Where the client reads on in the stream of events, and entries of any form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pycloud.client.events import STREAM_START, cursor_before, parse_entry, resume_cursor


@given(st.integers(0, 2**40), st.integers(0, 9), st.integers(0, 2**40), st.integers(0, 9))
def test_where_to_go_on(ms: int, count: int, newest_ms: int, newest_count: int) -> None:
    place, newest = f"{ms}-{count}", f"{newest_ms}-{newest_count}"

    assert resume_cursor(place, None) == STREAM_START
    assert resume_cursor(place, newest) == (newest if (newest_ms, newest_count) < (ms, count) else place)


def test_a_place_before_a_time() -> None:
    assert cursor_before(0) == STREAM_START
    assert cursor_before(-5) == STREAM_START
    assert cursor_before(1.5) == f"1499-{2**64 - 1}"


@given(st.lists(st.binary(), max_size=4))
def test_any_entry_can_be_read(fields: list[bytes]) -> None:
    parse_entry([b"1-1", fields])
    parse_entry([b"1-1", [b"event", *fields]])
