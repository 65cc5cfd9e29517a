"""The shell's decisions by themselves: finding sessions, laying out tables, reading command lines."""

from __future__ import annotations

import argparse
import stat
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.protocol.messages import CreateResponse, StatusResponse
from pycloud.shell.base.command import Command, key_value
from pycloud.shell.base.lookup import match_prefixes
from pycloud.shell.dispatch.parser import Grammar, command_index
from pycloud.shell.dispatch.table import COMMANDS
from pycloud.shell.prompt.history import PromptHistory, history_file, holds_secret
from pycloud.shell.terminal.exit_codes import UsageError
from pycloud.shell.terminal.output import Printer, Row, age, duration, layout, printable, session_row, wants_colour

SESSION = "0123456789cccccccccc"


def test_a_prefix_matches_what_begins_with_it() -> None:
    sessions = ["aa11", "aa22", "bb33"]

    assert match_prefixes(["aa", "bb", "c", ""], sessions) == {"aa": ["aa11", "aa22"], "bb": ["bb33"], "c": [], "": []}


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
    place = command_index(words)
    assert (words[place] if place < len(words) else None) == expected


@pytest.mark.parametrize("words", [["-o", "ids", "--timeout", "3", "list"], ["list", "-o", "ids", "--timeout", "3"]])
def test_common_flags_before_and_after(words: list[str]) -> None:
    args = Grammar(interactive=False).parse(words)

    assert (args.command, args.output, args.timeout) == ("list", "ids", 3.0)


def test_the_later_flag_wins() -> None:
    assert Grammar(interactive=False).parse(["-o", "ids", "list", "-o", "json"]).output == "json"


def test_the_prompt_knows_all_commands_and_no_connection() -> None:
    grammar = Grammar(interactive=True)

    assert list(grammar.commands) == [row.name for row in COMMANDS]
    for words in (["list", "--redis", "redis://elsewhere"], ["--redis", "redis://elsewhere", "list"]):
        with pytest.raises(UsageError, match="leave, and type `pycloudctl --redis"):
            grammar.parse(words)
    text = grammar.help_text()
    assert all(row.summary in text for row in COMMANDS)
    assert "pycloudctl" not in grammar.help_text("create")


@pytest.mark.parametrize("row", [row for row in COMMANDS if not row.prompt_only], ids=lambda row: row.name)
def test_ux_01_help_reads_the_same_in_both_modes(row: Command) -> None:
    def below_the_usage(interactive: bool) -> str:
        text = Grammar(interactive=interactive).help_text(row.name).partition("\n\n")[2]
        return " ".join(text.partition("common flags:")[0].split())

    assert below_the_usage(True) == below_the_usage(False)
    assert all(" ".join(item.options["help"].split()) in below_the_usage(True) for item in row.arguments)


def test_a_variable_is_key_and_value() -> None:
    assert key_value("A=b=c") == ("A", "b=c")
    assert key_value("A=") == ("A", "")
    for bad in ("A", "=b", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            key_value(bad)


def test_where_the_history_is(tmp_path: Path) -> None:
    assert history_file({"XDG_STATE_HOME": "/s"}, tmp_path) == Path("/s/pycloud/pycloudctl_history")
    fallback = tmp_path / ".local/state/pycloud/pycloudctl_history"
    assert history_file({}, tmp_path) == fallback
    assert history_file({"XDG_STATE_HOME": "relative"}, tmp_path) == fallback


def test_the_history_is_private_and_optional(tmp_path: Path) -> None:
    file = tmp_path / "state" / "pycloud" / "history"
    history = PromptHistory(file)
    assert history.take_warning() == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    below_a_file = PromptHistory(file / "below-a-file" / "history")
    below_a_file.append_string("list")
    assert "not kept" in below_a_file.take_warning()


def test_a_history_that_breaks_goes_on_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "history"
    history = PromptHistory(file)
    history.append_string("list")
    file.unlink()
    file.mkdir()
    history.append_string("status ff")
    history.append_string("status ee")

    assert "not kept" in history.take_warning()
    assert history.take_warning() == ""
    assert history.get_strings() == ["list", "status ff", "status ee"]
    assert list(PromptHistory(file).load_history_strings()) == []


@pytest.mark.parametrize(
    "line",
    [
        "create x -e DB_PASSWORD=sesame",
        "create x --env=api_token=1",
        "create x -eSECRET=1",
        "create x -e 'MY_KEY=a b'",
        'create x -e "PASSWORD=a',
        "create x -e DB=redis://:sesame@here/0",
        "create x -e DB=postgres://me:ses/ame@here",
    ],
)
def test_a_line_with_a_secret_is_not_kept(tmp_path: Path, line: str) -> None:
    file = tmp_path / "history"
    history = PromptHistory(file)
    history.append_string("create x -e MAP=castle --cloud c")
    history.append_string(line)

    assert history.get_strings() == ["create x -e MAP=castle --cloud c"]
    assert "castle" in file.read_text()
    assert line not in file.read_text()


@pytest.mark.parametrize("line", ["create key=", "create x -e URL=http://here:80/", "logs 3d10", "create x -e TOKENS"])
def test_other_lines_are_no_secrets(line: str) -> None:
    assert not holds_secret(line)


def test_what_is_stale_is_said_to_be() -> None:
    stale = StatusResponse("c", SESSION, True, "running", "h", 1, stale=True)

    assert session_row(stale, 100)[5] == "as last known, its cloud is away"


def test_hints_are_for_people_at_a_terminal() -> None:
    out, err = BytesIO(), StringIO()
    Printer(out, err).hint("next")
    assert err.getvalue() == ""
    Printer(out, err, interactive=True).hint("next")
    assert (out.getvalue(), err.getvalue()) == (b"", "next\n")
