"""Command lines in documentation, as a shell takes them apart."""

from __future__ import annotations

import shlex


def words_of(line: str, program: str) -> list[str] | None:
    """What follows the program on a line; None where the line starts another."""
    words = shlex.split(line, comments=True)
    places = [place for place, word in enumerate(words) if word.rpartition("/")[2] == program]
    return words[places[0] + 1 :] if places else None
