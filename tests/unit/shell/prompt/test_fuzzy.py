"""Which words match what was typed, the best first."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prompt_toolkit.completion import Completion

from pycloud.shell.prompt.fuzzy import best_matches, first_matches


def ranked(word: str, texts: Iterable[str]) -> list[str]:
    return [found.text for found in best_matches(word, dict.fromkeys(texts, ""))]


def test_the_best_come_first() -> None:
    assert ranked("st", ["list", "logs", "status", "wait", "last"]) == ["status", "list", "last"]
    assert ranked("", ["b", "a"]) == ["b", "a"]
    assert ranked("LI", ["list"]) == ["list"]
    assert ranked("(", ["list"]) == []


@pytest.mark.parametrize("word", ["web-1", "w-1", "--", "b-1 ", "game7.net"])
def test_a_word_does_not_end_at_a_hyphen_a_dot_or_a_space(word: str) -> None:
    assert ranked(word, ["other", "--web-1 game7.net"]) == ["--web-1 game7.net"]


def test_matched_letters_are_marked() -> None:
    found: Completion = next(iter(best_matches("st", {"list": "what it does"})))
    marked = "".join(text for style, text, *_ in found.display if "inside" in style)
    assert (marked, found.display_text, found.display_meta_text) == ("st", "list", "what it does")


def test_some_of_many() -> None:
    words = sorted(["aa", "ab", "ac", "ba", "xa", "xb"])
    assert first_matches("a", words, 2) == ["aa", "ab"]
    assert first_matches("a", words, 10) == ["aa", "ab", "ac", "ba", "xa"]
    assert first_matches("b", words, 2) == ["ba", "ab"]
    assert first_matches("", words, 3) == ["aa", "ab", "ac"]
    assert first_matches("B", words, 10) == ["ab", "ba", "xb"]
    assert first_matches("", words, 0) == first_matches("^]", words, 9) == []


def test_letters_that_are_repeated_cost_no_search_of_all_combinations() -> None:
    assert first_matches("c" * 30 + "d", ["c" * 60] * 1000, 50) == []
