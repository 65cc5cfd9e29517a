"""Fuzzy matching. prompt_toolkit's FuzzyCompleter ranks; of thousands of texts it is given the first that match. Pure.

For each key, FuzzyCompleter builds and matches a Completion for every text: with ten thousand sessions that takes 28 to
72 ms, with the selection here 1 to 8 ms.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice

from prompt_toolkit.completion import CompleteEvent, Completion, FuzzyCompleter, WordCompleter
from prompt_toolkit.document import Document

#: The typed word is all of the text before the cursor. The default pattern of FuzzyCompleter ends a word at a hyphen.
WHOLE_TEXT = r"^[\s\S]*"


def best_matches(word: str, texts: Mapping[str, str]) -> Iterable[Completion]:
    """The texts that contain the letters of ``word`` in their order, the best first, with their descriptions."""
    completer = FuzzyCompleter(WordCompleter(list(texts), meta_dict=texts), pattern=WHOLE_TEXT)
    # FuzzyCompleter takes a word that ends with a space for an empty one.
    return completer.get_completions(Document(word.rstrip()), CompleteEvent())


def first_matches(word: str, texts: Sequence[str], limit: int) -> list[str]:
    """Of a long sorted list, at most ``limit`` matches: those that begin with ``word``, then others, each in order."""
    begin = bisect_left(texts, word)
    end = bisect_left(texts, word + "\U0010ffff", lo=begin)
    # Each letter is found at its first place, so that a text without a match costs one pass over it.
    pattern = re.compile("".join(f"[^{re.escape(letter)}]*{re.escape(letter)}" for letter in word), re.IGNORECASE)
    others = (text for text in chain(texts[:begin], texts[end:]) if pattern.match(text))
    return list(islice(chain(texts[begin : min(end, begin + limit)], others), limit))
