"""All pages: links lead somewhere, the README is short, and the English is plain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.folders import ROOT

README = ROOT / "README.md"
PAGES = [path for path in (README, *sorted((ROOT / "docs").glob("*.md"))) if path.name != "first-hour.md"]
LINK = re.compile(r"\]\(([^()\s]+)\)")
#: Words that hide the subject of a sentence, or stand for a term of the glossary.
WORST = re.compile(
    r"\b(somebody|nobody|anybody|whoever|who (?:hears?|asks?|speaks?)|(?:is|are) told|tells?|goes on|go on|"
    r"what is there|takes? nothing new|hears?|wish(?:es|ed)?|r turn)\b",
    re.IGNORECASE,
)


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def prose(page: str) -> str:
    """A page without its blocks, its code, its comments and what the bench has measured."""
    page = re.sub(r"<!-- measured.*?<!-- up to here -->", "", page, flags=re.DOTALL)
    return re.sub(r"^```.*?^```|`[^`]+`|<!--.*?-->", "", page, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    for link in LINK.findall(page):
        if link.startswith(("http:", "https:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_the_readme_is_short_and_links_every_page() -> None:
    page = README.read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 150
    pages = [
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    ]
    assert {str(path.relative_to(ROOT)) for path in pages} - set(LINK.findall(page)) == set()


# pycloudctl.md has tests of its own (tests/unit/shell/test_guide.py).
@pytest.mark.parametrize("path", [path for path in PAGES if path.name != "pycloudctl.md"], ids=lambda path: path.name)
def test_the_worst_phrases_are_on_no_page(path: Path) -> None:
    assert WORST.findall(prose(path.read_text(encoding="utf-8"))) == []


def test_the_protocol_says_first_that_the_wire_calls_a_node_cloud() -> None:
    lines = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").splitlines()
    assert "call a node `cloud`" in " ".join(lines[:5])
