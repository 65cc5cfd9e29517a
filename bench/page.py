"""Puts what was measured into a page of the documentation, in the place that the page has for it."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- measured by make bench: -->", "<!-- up to here -->"


def filled(page: str, measured: str) -> str:
    """The page with ``measured`` between its two marks. Raises ValueError where it has none."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for it, between {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{measured}\n\n{END}{tail}"


def fill(path: Path, measured: str) -> None:
    """The same with a file."""
    path.write_text(filled(path.read_text(), measured))
