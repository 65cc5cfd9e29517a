"""Fuzzy matching: the words that contain the typed letters in their order, ranked. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Match:
    """``rank``: 0 where the text begins with the word, 1 where it contains the word, 2 where it contains only the
    letters in their order.

    ``length``: length of the matched part; ``start``: its index. The lowest match is the best.
    """

    rank: int
    length: int
    start: int


def fuzzy_pattern(word: str) -> re.Pattern[str]:
    """A pattern for the letters of ``word`` in their order, with as few others as possible between; ignores case."""
    return re.compile(".*?".join(map(re.escape, word)), re.IGNORECASE)


def match(word: str, pattern: re.Pattern[str], text: str) -> Match | None:
    """The match of ``word`` in ``text``; None where there is none. ``pattern``: ``fuzzy_pattern(word)``."""
    found = pattern.search(text)
    if found is None:
        return None
    position = text.lower().find(word.lower())
    if position >= 0:
        return Match(0 if position == 0 else 1, len(word), position)
    return Match(2, found.end() - found.start(), found.start())


def best_matches(word: str, texts: Iterable[str]) -> list[str]:
    """The texts that match ``word``, the best first; equal matches keep their order."""
    pattern = fuzzy_pattern(word)
    found = [(hit, text) for text in texts if (hit := match(word, pattern, text)) is not None]
    return [text for _hit, text in sorted(found, key=lambda pair: pair[0])]


def best_sorted_matches(word: str, texts: Sequence[str], limit: int) -> list[str]:
    """As ``best_matches``, for a long sorted list: at most ``limit`` matches. Texts that begin with ``word`` come
    first; the search ends as soon as there are enough.
    """
    begin = bisect_left(texts, word)
    end = bisect_left(texts, word + "\U0010ffff", lo=begin)
    first = list(texts[begin : min(end, begin + limit)])
    if len(first) == limit or not word:
        return first
    pattern, rest = fuzzy_pattern(word), []
    for index, text in enumerate(texts):
        if not begin <= index < end and pattern.search(text):
            rest.append(text)
            if len(first) + len(rest) == limit:
                break
    return first + best_matches(word, rest)
