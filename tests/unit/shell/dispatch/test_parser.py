"""Command lines are parsed alike in one-shot use and at the prompt."""

from __future__ import annotations

import pytest

from pycloud.shell.base.command import Command
from pycloud.shell.dispatch.parser import Grammar, command_index
from pycloud.shell.dispatch.table import COMMANDS
from pycloud.shell.terminal.exit_codes import UsageError
from tests.support.command_table import ONE_SHOT_COMMANDS


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
        with pytest.raises(UsageError, match="only be given at the start: exit, and type `pycloudctl --redis"):
            grammar.parse(words)
    text = grammar.help_text()
    assert all(row.summary in text for row in COMMANDS)
    assert "pycloudctl" not in grammar.help_text("create")


@pytest.mark.parametrize("row", ONE_SHOT_COMMANDS, ids=lambda row: row.name)
def test_ux_01_help_reads_the_same_in_both_modes(row: Command) -> None:
    def below_the_usage(interactive: bool) -> str:
        text = Grammar(interactive=interactive).help_text(row.name).partition("\n\n")[2]
        return " ".join(text.partition("common flags:")[0].split())

    assert below_the_usage(True) == below_the_usage(False)
    assert all(" ".join(item.options["help"].split()) in below_the_usage(True) for item in row.arguments)
