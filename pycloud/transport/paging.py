"""Reads a sorted set page by page, so that whatever is in it all the time is read, whoever comes and goes meanwhile.

Pure. It goes on from the last member that was read, not from a count of them: what is taken out would move the rest
forward, past the reader.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cursor:
    """Behind the member that was read last. ``ties``: how many of its score were read, itself included."""

    score: float
    member: bytes
    ties: int


START = Cursor(float("-inf"), b"", 0)


def page_limits(after: Cursor, page_size: int) -> tuple[str, int]:
    """The lowest score and the most members to ask ``ZRANGEBYSCORE ... WITHSCORES LIMIT 0`` for.

    Those of the last score come again, since a score can be asked for only as a whole.
    """
    return repr(after.score), page_size + after.ties


def parse_page(reply: Sequence[bytes], after: Cursor, page_size: int) -> tuple[list[str], Cursor | None]:
    """The members in a reply that had not been read, lowest score first, and where to go on; None: that was all.

    ``reply``: members and scores by turns, as asked for with ``limits``.
    """
    members, scores = reply[::2], [float(score) for score in reply[1::2]]
    read = bisect_right(list(zip(scores, members, strict=True)), (after.score, after.member))
    fresh = [member.decode() for member in members[read:]]
    if len(members) < page_size + after.ties:
        return fresh, None
    score, member = (scores[-1], members[-1]) if fresh else (after.score, after.member)
    return fresh, Cursor(score, member, scores.count(score))
