"""The words of a line that is still being typed, as the shell will take it apart. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InputTokens:
    """``before``: the whole words before the one at the cursor. ``word``: that one, without its quotation marks, as far
    as it was typed; ``start``: where it begins on the line.
    """

    before: tuple[str, ...]
    word: str
    start: int


def tokenize(text: str) -> InputTokens:
    """``text``: the line up to the cursor. What is not finished (a quotation, an escape) is taken as it stands."""
    words: list[str] = []
    word, start, quote, escaped = "", None, "", False
    for index, char in enumerate(text):
        if escaped:
            word, escaped = word + char, False
        elif char == "\\" and quote != "'":
            start, escaped = index if start is None else start, True
        elif quote:
            word, quote = (word, "") if char == quote else (word + char, quote)
        elif char in "'\"":
            start, quote = index if start is None else start, char
        elif char.isspace():
            if start is not None:
                words.append(word)
            word, start = "", None
        else:
            word, start = word + char, index if start is None else start
    return InputTokens(tuple(words), word, len(text) if start is None else start)
