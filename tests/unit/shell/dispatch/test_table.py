"""The table of commands: each function can be loaded, and none is loaded before its command is run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pycloud.shell.base.command import Command
from pycloud.shell.dispatch.table import COMMANDS
from tests.support.daemon import ROOT

LOADED_MODULES = "import sys, pycloud.shell.main; print(*sys.modules)"


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_each_function_can_be_loaded(row: Command) -> None:
    assert callable(row.load())


def test_no_command_is_loaded_with_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED_MODULES], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    loaded, of_commands = set(done.stdout.split()), {f"pycloud.shell.{row.function.split(':')[0]}" for row in COMMANDS}

    assert "pycloud.shell.dispatch.table" in loaded
    assert loaded & of_commands == set()
