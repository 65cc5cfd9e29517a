"""A line that is not finished, taken apart into words."""

from __future__ import annotations

import pytest

from pycloud.shell.prompt.completion_context import InputTokens, tokenize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", InputTokens((), "", 0)),
        ("list", InputTokens((), "list", 0)),
        ("list ", InputTokens(("list",), "", 5)),
        ("create 'a b' c", InputTokens(("create", "a b"), "c", 13)),
        ("create 'a b", InputTokens(("create",), "a b", 7)),
        ("create a\\ b", InputTokens(("create",), "a b", 7)),
        ('create "a\\"b', InputTokens(("create",), 'a"b', 7)),
        ("create '' ", InputTokens(("create", ""), "", 10)),
        ("a\\", InputTokens((), "a", 0)),
    ],
)
def test_words_that_are_being_typed(text: str, expected: InputTokens) -> None:
    assert tokenize(text) == expected
