"""The shell's decisions by themselves: finding sessions, laying out tables, reading command lines."""

from __future__ import annotations

import argparse
import stat
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent, FuzzyCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory

from pycloud.client import Client
from pycloud.messages import StatusResponse
from pycloud.shell.commands import COMMANDS, pair
from pycloud.shell.exits import UsageProblem
from pycloud.shell.lookup import match
from pycloud.shell.parsing import Grammar, command_word
from pycloud.shell.prompt import WORD, CommandCompleter, history_file, open_history
from pycloud.shell.render import Printer, Row, age, duration, layout, printable, row_of, wants_colour
from pycloud.shell.runner import Options, Runner, Terminal

SESSION = "0123456789cccccccccc"


def test_a_prefix_matches_what_begins_with_it() -> None:
    sessions = ["aa11", "aa22", "bb33"]

    assert match(["aa", "bb", "c", ""], sessions) == {"aa": ["aa11", "aa22"], "bb": ["bb33"], "c": [], "": []}


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

    assert row_of(unknown, 100) == (SESSION, "unknown", "-", "-", "")
    assert row_of(ended, 100) == (SESSION, "exited", "h", "90s", "reboot")


ROWS: list[Row] = [
    (SESSION, "running", "a-rather-long-host-name.game.example.net:40123", "5m", ""),
    (SESSION, "exited", "h:1", "2h", "exit 3, and a very long reason that goes on and on"),
]


def test_a_table_fits_the_screen() -> None:
    lines = list(layout(ROWS, 80, False))

    assert max(map(len, lines)) <= 80
    assert all(SESSION in line for line in lines[1:])
    assert "exit 3" in lines[2]


def test_nothing_is_cut_where_there_is_no_screen() -> None:
    text = "\n".join(layout(ROWS, None, False))

    assert all(cell in text for row in ROWS for cell in row)


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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], None),
        (["list"], "list"),
        (["--redis", "status", "list"], "list"),
        (["--redis=x", "list"], "list"),
        (["-o", "ids", "--no-color", "lst", "-o"], "lst"),
        (["-h"], None),
        (["--timeout"], None),
    ],
)
def test_the_word_that_is_the_command(words: list[str], expected: str | None) -> None:
    assert command_word(words) == expected


@pytest.mark.parametrize("words", [["-o", "ids", "--timeout", "3", "list"], ["list", "-o", "ids", "--timeout", "3"]])
def test_common_flags_before_and_after(words: list[str]) -> None:
    args = Grammar(interactive=False).parse(words)

    assert (args.command, args.output, args.timeout) == ("list", "ids", 3.0)


def test_the_later_flag_wins() -> None:
    assert Grammar(interactive=False).parse(["-o", "ids", "list", "-o", "json"]).output == "json"


def test_the_prompt_knows_all_commands_and_no_connection() -> None:
    grammar = Grammar(interactive=True)

    assert list(grammar.commands) == [row.name for row in COMMANDS]
    with pytest.raises(UsageProblem):
        grammar.parse(["list", "--redis", "redis://elsewhere"])
    text = grammar.help_text()
    assert all(row.summary in text for row in COMMANDS)
    assert "pycloudctl" not in grammar.help_text("create")


def test_a_variable_is_key_and_value() -> None:
    assert pair("A=b=c") == ("A", "b=c")
    assert pair("A=") == ("A", "")
    for bad in ("A", "=b", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            pair(bad)


def completions(text: str) -> list[str]:
    completer = FuzzyCompleter(CommandCompleter(COMMANDS), pattern=WORD)
    found = completer.get_completions(Document(text), CompleteEvent(completion_requested=True))
    return [completion.text for completion in found]


def test_completion_of_commands() -> None:
    assert completions("") == [row.name for row in COMMANDS]
    assert completions("cr") == ["create"]
    assert completions("st")[0] == "status"
    assert "remove" in completions("rmv")
    assert completions("help sta") == ["status"]
    assert completions("status sta") == []


def test_where_the_history_is(tmp_path: Path) -> None:
    assert history_file({"XDG_STATE_HOME": "/s"}, tmp_path) == Path("/s/pycloud/pycloudctl_history")
    fallback = tmp_path / ".local/state/pycloud/pycloudctl_history"
    assert history_file({}, tmp_path) == fallback
    assert history_file({"XDG_STATE_HOME": "relative"}, tmp_path) == fallback


def test_the_history_is_private_and_optional(tmp_path: Path) -> None:
    err = StringIO()
    runner = Runner(Client(), Grammar(interactive=True), Options(), Terminal(BytesIO(), err, {}), lambda: b"")
    file = tmp_path / "state" / "pycloud" / "history"

    assert isinstance(open_history(file, runner), FileHistory)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert isinstance(open_history(file / "below-a-file" / "history", runner), InMemoryHistory)
    assert "not kept" in err.getvalue()


def test_hints_are_for_people_at_a_terminal() -> None:
    out, err = BytesIO(), StringIO()
    Printer(out, err).hint("next")
    assert err.getvalue() == ""
    Printer(out, err, chatty=True).hint("next")
    assert (out.getvalue(), err.getvalue()) == (b"", "next\n")
