"""Values of flags that several commands take."""

from __future__ import annotations

import argparse

import pytest

from pycloud.shell.base.flags import parse_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 910.0),
        ("1.5m", 910.0),
        ("0d", 1000.0),
        ("1795471990.5", 1795471990.5),
        ("2026-01-31T18:00Z", 1769882400),
    ],
)
def test_moments(text: str, expected: float) -> None:
    assert parse_time(text, 1000.0) == expected


@pytest.mark.parametrize("text", ["", "soon", "-5m", "5", "10 m", "2026-13-01", "\u0661m"])
def test_no_moments(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time"):
        parse_time(text, 1000.0)
