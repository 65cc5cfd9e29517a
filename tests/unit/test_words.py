"""The strings of the program are plain technical English: none has one of the phrases that make a reader guess.

Docstrings and comments are not strings that a user reads; names without a space (wire keys, events) are not texts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pycloud

PACKAGE = Path(pycloud.__file__).parent

#: Each phrase with what to write instead.
PHRASES = {
    r"(some|no|any)body|someone|anyone|no one": "name the process or the user, or use the passive",
    r"who|whoever|whose is": "name the subject: the node, the requester, the user",
    r"told|tells?|telling": "report, send, write, request",
    r"goes on|go on|going on": "continue, keep running",
    r"what is there|is there|that which|what (was|is|it|other|runs|others)": "name the thing",
    r"hears?|heard": "receive",
    r"speaks?|says nothing|talks? to": "respond, send, answer",
    r"wish(ed|es)?": "request, pending removal",
    r"takes? (nothing|requests|new sessions)": "accept",
    r"at present": "now",
    r"any more|no more": "no longer",
    r"as it is|by now|all the same": "leave it out",
    r"died over|fell silent|last words|hung up|looks? after|left alone": "use the technical term",
    r"no living|lives there": "live",
    r"(?<!there )is no (JSON|cloud|node|session|request|pattern|reference|text|id)": "is not a ...",
    r"(?<![`.-])clouds?(?![`.])": "node, where a running daemon is meant (`cloud` in backquotes: the wire key)",
}


def texts(source: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each string with a space; the expressions in an f-string are ``{}``."""
    tree = ast.parse(source)
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(value) for value in node.values)
            parts = [value.value if isinstance(value, ast.Constant) else "{}" for value in node.values]
            text = "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            text = node.value
        else:
            continue
        if " " in text.strip():
            yield node.lineno, text


def offences(source: str) -> Iterator[str]:
    """The bad phrases in the texts of a module."""
    for line, text in texts(source):
        for pattern, remedy in PHRASES.items():
            if found := re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE):
                yield f"line {line}: {found[0]!r} in {text!r}; instead: {remedy}"


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_text_of_the_program_has_a_phrase_that_makes_a_reader_guess(path: Path) -> None:
    assert not list(offences(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('log.info("session %s: nobody was heard of", s)', 2),
        ('f"cloud {node} is away"', 1),
        ('x = "the key `cloud` of a request"', 0),
        ('x = {"deaf": True, "cloud.up": 1}', 0),
        ('def f():\n    """Nobody reads this as a message."""\n    return "no heartbeat for 16 s"', 0),
        ('"""Nobody."""\nclass C:\n    """What is there."""\n    text = "the cloud goes on"', 2),
    ],
)
def test_phrases_are_found_in_texts_only(source: str, count: int) -> None:
    assert len(list(offences(source))) == count
