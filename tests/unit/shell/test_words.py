"""The texts of pycloudctl are plain technical English: none has one of the worst phrases of earlier versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pycloud.shell
from pycloud.shell.base.command import Command
from pycloud.shell.dispatch.parser import Grammar
from pycloud.shell.dispatch.table import COMMANDS
from tests.unit.test_words import texts

FOLDER = Path(pycloud.shell.__file__).parent
#: Phrases that hide the subject of a sentence, or are metaphors of our own. In lower case, as regular expressions.
WORST_PHRASES = (
    r"\b(some|no|any|every)body\b",
    r"\btold\b",
    r"\btells?\b",
    r"\bgo(es|ing)? on\b",
    r"\bis there\b",
    r"\bwhat there is\b",
    r"\bwho\b",
    r"\bwhoever\b",
    r"\bwhatever\b",
    r"\bthat which\b",
    r"\bwhat (is|has|was|you|it|runs|happens|happened)\b",
    r"\bwish",
    r"\bheard?\b",
    r"\bhears\b",
    r"\bspeaks?\b",
    r"\bsays?\b",
    r"\bsaid\b",
    r"\bmind\b",
    r"\btakes? (nothing|sessions)\b",
    r"\bnothing new\b",
    r"\bany more\b",
    r"\bat present\b",
    r"\bas it (is|was)\b",
    r"\bas they were\b",
    r"\br turn\b",
    r"\bturns? it round\b",
    r"\bfor so many\b",
    r"\bat most so many\b",
    r"\bcosts nothing\b",
    r"\bthere that\b",
    r"\bthat lives\b",
    r"\blives there\b",
    r"\bdrawn anew\b",
    r"\b(a|the|this|its|no|of|each|most|all|every) clouds?\b",
    r"\bclouds? (is|are|that|has|have|need|needs|lives|accepts)\b",
)
WORST = re.compile("|".join(WORST_PHRASES))


def worst_of(text: str) -> list[str]:
    """The worst phrases in a text."""
    return [found[0] for found in WORST.finditer(" ".join(text.lower().split()))]


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_string_constants(path: Path) -> None:
    assert {
        (line, text): worst for line, text in texts(path.read_text(encoding="utf-8")) if (worst := worst_of(text))
    } == {}


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_the_table_of_commands(row: Command) -> None:
    helps = [str(item.options["help"]) for item in row.arguments]

    assert [worst_of(text) for text in (row.summary, row.details, *helps) if worst_of(text)] == []


@pytest.mark.parametrize("interactive", [False, True])
def test_help(interactive: bool) -> None:
    grammar = Grammar(interactive=interactive)

    for topic in (None, *grammar.commands):
        assert worst_of(grammar.help_text(topic)) == [], topic


@pytest.mark.parametrize(
    "text",
    [
        "What happens is not told.",
        "let clouds take nothing new",
        "q leave, r turn, / filter",
        "somebody has told it to",
        "the log goes on",
        "What is there?",
    ],
)
def test_earlier_texts_have_such_phrases(text: str) -> None:
    assert worst_of(text) != []
