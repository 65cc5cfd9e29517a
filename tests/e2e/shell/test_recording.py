"""The recorded first hour: what is typed in it can be typed, nothing is missing, and it can be played again."""

from __future__ import annotations

import re

import pytest

from pycloud.shell.dispatch.parser import Grammar
from pycloud.shell.dispatch.table import COMMANDS
from pycloud.shell.terminal.exit_codes import UsageError
from tests.e2e.shell.recording import PAGE, README, recorded
from tests.e2e.shell.scene_player import record
from tests.e2e.shell.scenes import SCENES, Line
from tests.support.command_lines import words_of

HOUR, SHORT = PAGE.read_text(encoding="utf-8"), recorded(README.read_text(encoding="utf-8"))
TYPED = re.compile(r"^(?:\$|pycloud>) (.*)$", re.MULTILINE)
SHELL = re.compile(r"^\$ (.*\bpycloudctl\b.*)$", re.MULTILINE)
#: What has no place in an hour's work.
EXEMPT = {"completion", "man", "help", "watch", "exit"}


@pytest.mark.parametrize("line", dict.fromkeys([*SHELL.findall(HOUR), *SHELL.findall(SHORT)]))
def test_what_is_typed_can_be_typed_or_is_complained_about(line: str) -> None:
    words = words_of(line, "pycloudctl")
    assert words is not None
    try:
        assert Grammar(interactive=False).parse(words).command == (words[0] if words else None)
    except UsageError as problem:
        assert f"$ {line}\npycloudctl: {problem.message}\n" in HOUR


def test_every_command_is_in_it() -> None:
    typed = {word for line in TYPED.findall(HOUR) for word in line.replace("pycloudctl ", "").split()}
    assert {row.name for row in COMMANDS} - EXEMPT - typed == set()


def test_the_readme_has_some_of_the_same_recording() -> None:
    whole = iter(HOUR.splitlines())
    assert [line for line in SHORT.splitlines() if line not in whole] == []
    assert len(SHORT.splitlines()) < 40


def test_it_is_short_and_says_nothing_of_the_machine_that_made_it() -> None:
    assert len(HOUR.splitlines()) <= 260
    assert re.findall(r"/(?:tmp|root|home)/\S*", HOUR) == []
    assert set(re.findall(r"[\w.-]+(?=:\d{4,5}\b)", HOUR)) <= {
        "127.0.0.1",
        *(f"game{number}.example.net" for number in (1, 2, 3)),
    }


def test_its_beginning_can_be_played_again() -> None:
    for scene, blocks in record(SCENES[:2]):
        assert len(blocks) == 1
        for step in scene.steps:
            if isinstance(step, Line):
                assert f"$ {step.text}\n" in blocks[0]
                assert f"$ {step.text}\n" in HOUR
