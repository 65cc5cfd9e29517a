"""Which of many words somebody may mean who has typed some of their letters. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Match:
    """``rank``: 0 where the word begins so, 1 where that stands in it, 2 where its letters do, in this order.

    ``length``: how far apart they are; ``start``: where they begin. The lowest is the best.
    """

    rank: int
    length: int
    start: int


def fuzzy_pattern(word: str) -> re.Pattern[str]:
    """A pattern that finds words with the letters of ``word`` in their order, with as little as possible between."""
    return re.compile(".*?".join(map(re.escape, word)), re.IGNORECASE)


def match(word: str, pattern: re.Pattern[str], text: str) -> Match | None:
    """How ``word`` (and its pattern) is found in ``text``; None: it is not."""
    found = pattern.search(text)
    if found is None:
        return None
    position = text.lower().find(word.lower())
    if position >= 0:
        return Match(0 if position == 0 else 1, len(word), position)
    return Match(2, found.end() - found.start(), found.start())


def best_matches(word: str, texts: Iterable[str]) -> list[str]:
    """Those that ``word`` may mean, the best first, and in their order where they are alike."""
    pattern = fuzzy_pattern(word)
    found = [(hit, text) for text in texts if (hit := match(word, pattern, text)) is not None]
    return [text for _hit, text in sorted(found, key=lambda pair: pair[0])]


def best_sorted_matches(word: str, texts: Sequence[str], limit: int) -> list[str]:
    """As ``best``, but of very many, which are sorted, and at most so many: those that begin so come first, and once
    there are enough no others are looked for.
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
