"""The readings as people and programs read them: a table on the terminal, Markdown, JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from bench.reading import Reading

HEAD = ("row", "PyCloud", "limit", "of what", "ratio", "target", "")


def figure(number: float | None, unit: str = "") -> str:
    """Three digits that count, and the unit."""
    if number is None:
        return ""
    digits = 0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2 if abs(number) >= 0.1 else 4
    return f"{number:,.{digits}f} {unit}".rstrip()


def cells(reading: Reading) -> tuple[str, ...]:
    """One line."""
    ratio = "" if reading.ratio is None else f"{reading.ratio:.2f} x"
    value, limit = figure(reading.value, reading.unit), figure(reading.limit, reading.unit)
    return reading.title, value, limit, reading.beside, ratio, reading.promise(), verdict(reading)


def verdict(reading: Reading) -> str:
    """Whether its target is met; nothing where it has none."""
    if not reading.promise():
        return ""
    return "ok" if reading.met else "FAILED"


def text(readings: Sequence[Reading]) -> str:
    """A table in columns."""
    return "\n".join(aligned([HEAD, *map(cells, readings)]))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def markdown(readings: Iterable[Reading], where: str) -> str:
    """A page's table; ``where`` says when and on which machine."""
    lines = [HEAD, ("---",) * len(HEAD), *map(cells, readings)]
    return "\n".join([where, "", *("| " + " | ".join(line) + " |" for line in lines)])


def as_json(readings: Iterable[Reading], where: str) -> str:
    """One object."""
    return json.dumps({"where": where, "rows": [reading.plain() for reading in readings]}, indent=1)
