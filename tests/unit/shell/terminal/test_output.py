"""How results look: rows, tables, colours, and text without control characters."""

from __future__ import annotations

from io import BytesIO, StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.protocol.messages import CreateResponse, StatusResponse
from pycloud.shell.terminal.output import (
    Printer,
    Row,
    age,
    bar,
    duration,
    format_size,
    layout,
    printable,
    session_row,
    wants_colour,
)

SESSION = "0123456789cccccccccc"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (86400, "1d"), (9e6, "104d")],
)
def test_age(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_duration() -> None:
    assert (duration(0.0123), duration(3.44)) == ("12 ms", "3.4 s")


def test_a_row_says_what_is_known() -> None:
    unknown = StatusResponse("c", SESSION, False)
    ended = StatusResponse("c", SESSION, False, "exited", "h", None, created=10.0, exit_code=None, reason="reboot")

    assert session_row(unknown, 100) == (SESSION, "", "unknown", "-", "-", "")
    assert session_row(ended, 100) == (SESSION, "", "exited", "h", "90s", "reboot")
    assert session_row(StatusResponse("c", SESSION, True, "running", name="web"), 100)[1] == "web"
    assert session_row(CreateResponse("c", SESSION), 100, "web")[1] == "web"


ROWS: list[Row] = [
    (SESSION, "a-name-of-some-length", "running", "a-rather-long-host-name.game.example.net:40123", "5m", ""),
    (SESSION, "", "exited", "h:1", "2h", "exit 3, and a very long reason that goes on and on"),
]


def test_a_table_fits_the_screen() -> None:
    lines = list(layout(ROWS, 80, False))

    assert max(map(len, lines)) <= 80
    assert all(SESSION in line for line in lines[1:])
    assert "exit 3" in lines[2]


def test_nothing_is_cut_where_there_is_no_screen() -> None:
    text = "\n".join(layout(ROWS, None, False))

    assert all(cell in text for row in ROWS for cell in row)


def test_one_cell_that_a_terminal_might_obey_spoils_no_other() -> None:
    spoilt: list[Row] = [(SESSION, "", "running", "h:1", "5m", ""), (SESSION, "", "exited", "h\x1b[2J:1", "2h", "a\tb")]
    lines = list(layout(spoilt, None, False))

    assert all(line.isprintable() for line in lines)
    assert lines[1].split() == [SESSION, "running", "h:1", "5m"]
    assert lines[2].split() == [SESSION, "exited", "h?[2J:1", "2h", "a?b"]


def test_columns_line_up_with_colours_too() -> None:
    plain, coloured = list(layout(ROWS, None, False)), list(layout(ROWS, None, True))

    assert "\x1b[32mrunning\x1b[0m" in coloured[1]
    assert [line.replace("\x1b[32m", "").replace("\x1b[2m", "").replace("\x1b[0m", "") for line in coloured] == plain


@given(st.text())
def test_what_is_shown_obeys_no_escape(text: str) -> None:
    assert all(char.isprintable() for char in printable(text))
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize(
    ("environ", "terminal", "refused", "expected"),
    [
        ({}, True, False, True),
        ({}, False, False, False),
        ({}, True, True, False),
        ({"NO_COLOR": "1"}, True, False, False),
        ({"NO_COLOR": ""}, True, False, True),
        ({"TERM": "dumb"}, True, False, False),
    ],
)
def test_colours(environ: dict[str, str], terminal: bool, refused: bool, expected: bool) -> None:
    assert wants_colour(environ, terminal, refused) is expected


def test_what_is_stale_is_said_to_be() -> None:
    stale = StatusResponse("c", SESSION, True, "running", "h", 1, stale=True)

    assert session_row(stale, 100)[5] == "last known state, its node is offline"


def test_hints_are_for_people_at_a_terminal() -> None:
    out, err = BytesIO(), StringIO()
    Printer(out, err).hint("next")
    assert err.getvalue() == ""
    Printer(out, err, interactive=True).hint("next")
    assert (out.getvalue(), err.getvalue()) == (b"", "next\n")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        *((0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1500, "1.5 kB"), (4_096_000, "4.1 MB")),
        *((12_340_000, "12.3 MB"), (5e9, "5.0 GB"), (7e15, "7000.0 TB")),
    ],
)
def test_sizes(size: float, expected: str) -> None:
    assert format_size(size) == expected


def test_bars() -> None:
    shares = (-1, 0, 0.25, 1, 7)
    assert [bar(share, 6, "█", "·", "▌") for share in shares] == ["······", "······", "█▌····", "██████", "██████"]
    assert [bar(share, 4, "#", ".") for share in shares] == ["....", "....", "#...", "####", "####"]
