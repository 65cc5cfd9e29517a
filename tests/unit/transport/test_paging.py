"""Paging through a sorted set that changes between any two pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pycloud.transport.paging import START, Cursor, batched, page_limits, parse_page

Members = dict[bytes, float]
#: Few scores, so that many members share one.
SETS = st.dictionaries(st.binary(min_size=1, max_size=2).map(bytes.hex).map(str.encode), st.sampled_from([0.1, 1, 2.5]))


def reply(members: Members, lowest: str, most: int) -> list[bytes]:
    """What ZRANGEBYSCORE replies."""
    found = sorted((score, member) for member, score in members.items() if score >= float(lowest))[:most]
    return [part for score, member in found for part in (member, b"%.17g" % score)]


def read(states: list[Members], most: int) -> list[list[str]]:
    """All pages; the set is what each of ``states`` says in turn, and then stays as the last one says."""
    pages: list[list[str]] = []
    place: Cursor | None = START
    while place is not None:
        state = states[min(len(pages), len(states) - 1)]
        page, place = parse_page(reply(state, *page_limits(place, most)), place, most)
        pages.append(page)
        assert len(pages) < 1000, "it ends"
    return pages


@given(SETS, st.lists(SETS, min_size=1, max_size=6), st.integers(1, 5))
def test_what_is_there_all_the_time_is_read_once_and_in_order(
    steady: Members, passing: list[Members], most: int
) -> None:
    listed = [member for page in read([{**others, **steady} for others in passing], most) for member in page]
    wanted = [member.decode() for _score, member in sorted((score, member) for member, score in steady.items())]
    assert [member for member in listed if member.encode() in steady] == wanted


@given(SETS, st.integers(1, 5))
def test_each_page_but_the_last_is_full(members: Members, most: int) -> None:
    pages = read([members], most)
    assert [len(page) for page in pages[:-1]] == [most] * (len(members) // most)


def test_scores_are_told_exactly() -> None:
    place = Cursor(1795471920.4000001, b"m", 1)
    assert float(page_limits(place, 1)[0]) == place.score
    assert float(page_limits(START, 1)[0]) == float("-inf")


def test_items_in_lists_of_a_limited_size() -> None:
    assert list(batched("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(batched(iter(()), 2)) == []
