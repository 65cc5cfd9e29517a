"""The completion scripts, as text."""

from __future__ import annotations

import pytest

from pycloud.shell.dispatch.shell_completion import SHELLS, completion_script
from pycloud.shell.dispatch.table import COMMANDS
from tests.support.command_table import FLAGS_OF_ALL_COMMANDS, ONE_SHOT_COMMANDS


@pytest.mark.parametrize("name", SHELLS)
def test_each_script_names_every_command_and_flag(name: str) -> None:
    text = completion_script(name, COMMANDS, FLAGS_OF_ALL_COMMANDS)
    for row in ONE_SHOT_COMMANDS:
        assert row.name in text
        for flag in (name for item in (*row.arguments, *FLAGS_OF_ALL_COMMANDS) if item.is_flag for name in item.names):
            assert flag.lstrip("-") in text


def test_a_flag_means_the_same_everywhere() -> None:
    """A shell that completes a value sees the name of its flag, and nothing else."""
    seen: dict[str, tuple[bool, tuple[str, ...], str]] = {}
    for item in (*FLAGS_OF_ALL_COMMANDS, *(item for row in COMMANDS for item in row.arguments if item.is_flag)):
        for name in item.names:
            assert seen.setdefault(name, (item.takes_value, item.choices, item.kind)) == (
                item.takes_value,
                item.choices,
                item.kind,
            )
