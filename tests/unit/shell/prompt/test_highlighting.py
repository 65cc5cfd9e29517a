"""Colours of a script in the editor of the prompt."""

from __future__ import annotations

import pytest
from prompt_toolkit.document import Document

from pycloud.shell.prompt.highlighting import ScriptLexer, interpreter


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("#!/bin/sh", "sh"),
        ("#!/usr/bin/env python3", "python"),
        ("#!/usr/bin/env -S python3.11 -u", "python"),
        ("#! /usr/bin/perl -w", "perl"),
        ("echo hello", "sh"),
        ("", "sh"),
    ],
)
def test_the_first_line_says_what_runs_it(line: str, program: str) -> None:
    assert interpreter(line) == program


def style_of(script: str, line: int, word: str) -> str:
    fragments = ScriptLexer().lex_document(Document(script))(line)
    return next((style for style, text, *_ in fragments if text == word), "")


def test_highlighting() -> None:
    assert "keyword" in style_of("#!/usr/bin/env python3\nimport os\n", 1, "import")
    assert "builtin" in style_of("#!/bin/sh\necho hello\n", 1, "echo")
    assert "builtin" in style_of("#!/opt/nobody-knows-this -x\necho hello\n", 1, "echo")
    image = 'year4000/pycloud\n{\n    "port": 80\n}\n'
    assert "keyword" in style_of(image, 0, "year4000/pycloud")
    assert "number" in style_of(image, 2, "80")
    assert "tag" in style_of(image, 2, '"port"')
