"""``pycloudctl man``: the page, formatted by the program that people read it with."""

from __future__ import annotations

import subprocess

from pycloud.shell.base.command import Command, argument
from pycloud.shell.base.flags import COMMON_FLAGS, CONNECTION_FLAGS
from pycloud.shell.dispatch.manpage import manual_page
from pycloud.shell.dispatch.table import COMMANDS
from pycloud.shell.terminal.exit_codes import EXIT_CODE_MEANINGS, ExitCode
from tests.support.pycloudctl import TIMEOUT, Shell
from tests.support.requirements import program


def formatted(source: bytes) -> str:
    """As it stands on a screen that is wide enough for every line; warnings of the formatter are failures."""
    command = [program("groff"), "-man", "-Tascii", "-ww", "-P-c", "-P-b", "-P-o", "-P-u", "-rLL=400n"]
    done = subprocess.run(command, input=source, capture_output=True, timeout=TIMEOUT)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def test_every_command_and_flag_stands_in_it(shell: Shell) -> None:
    result = shell.run("man")
    text = formatted(result.out)

    assert result.code == ExitCode.DONE
    for row in COMMANDS:
        if not row.prompt_only:
            assert f"{row.name}" in text
            assert all(name in text for item in row.arguments if item.is_flag for name in item.names)
    assert all(name in text for item in (*CONNECTION_FLAGS, *COMMON_FLAGS) for name in item.names)
    assert all(meaning in text for meaning in EXIT_CODE_MEANINGS.values())


def test_nothing_that_is_said_is_taken_for_a_macro() -> None:
    row = Command("x", ".sh ends\n.so /etc/passwd \\n(.g", "module:function", (argument("-y", help="'tis"),))
    text = formatted(manual_page([row], (), version="1", codes={}).encode())

    assert ".so /etc/passwd \\n(.g" in text
    assert "'tis" in text
