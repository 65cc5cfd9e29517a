"""Pages: a sorted set that is read page by page, and items in lists of a limited size. Pure.

Members of a sorted set that are present throughout are read once, whatever is added or removed meanwhile. The cursor is
the last member that was read, not a count of members: after a removal, a count would skip as many unread members.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position after the member that was read last. ``ties``: members of its score read so far, itself included."""

    score: float
    member: bytes
    ties: int


START = Cursor(float("-inf"), b"", 0)


def page_limits(after: Cursor, page_size: int) -> tuple[str, int]:
    """The lowest score and the most members for ``ZRANGEBYSCORE ... WITHSCORES LIMIT 0``.

    Members of the last score are returned again, since a score can be requested only as a whole.
    """
    return repr(after.score), page_size + after.ties


def parse_page(reply: Sequence[bytes], after: Cursor, page_size: int) -> tuple[list[str], Cursor | None]:
    """The members in a reply that were not read before, lowest score first, and the next cursor; None at the end.

    ``reply``: members and scores alternating, as requested with ``page_limits``.
    """
    members, scores = reply[::2], [float(score) for score in reply[1::2]]
    read = bisect_right(list(zip(scores, members, strict=True)), (after.score, after.member))
    fresh = [member.decode() for member in members[read:]]
    if len(members) < page_size + after.ties:
        return fresh, None
    score, member = (scores[-1], members[-1]) if fresh else (after.score, after.member)
    return fresh, Cursor(score, member, scores.count(score))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of ``size``; the last list holds the rest."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
