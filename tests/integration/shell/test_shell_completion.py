"""``pycloudctl completion``: the scripts, run by the shells that they are for."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from pycloud.shell.dispatch.shell_completion import SHELLS, WORD_SOURCES
from tests.support.command_table import FLAGS_OF_ALL_COMMANDS, ONE_SHOT_COMMANDS
from tests.support.pycloudctl import PYCLOUDCTL, TIMEOUT, Shell
from tests.support.requirements import program

#: Does what bash does for TAB behind the words that it is given, and prints what is offered.
TAB = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_pycloudctl pycloudctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
((${#COMPREPLY[@]})) && printf '%s\\n' "${COMPREPLY[@]}"
exit 0
"""


class Bash:
    """A bash in which the script is sourced, and pycloudctl is on the path."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self._file = folder / "completion.bash"
        self._file.write_bytes(shell.run("completion", "bash").out)
        launcher = folder / "bin" / "pycloudctl"
        launcher.parent.mkdir()
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join(PYCLOUDCTL)} "$@"\n')
        launcher.chmod(0o755)
        self._env = {**shell.environ, "PATH": f"{launcher.parent}:{shell.environ['PATH']}"}
        self.folder = folder

    def offers(self, *words: str) -> list[str]:
        """What TAB offers for the last of ``words``."""
        command = [program("bash"), "--norc", "-c", TAB, "bash", str(self._file), "pycloudctl", *words]
        done = subprocess.run(
            command, env=self._env, cwd=self.folder, capture_output=True, text=True, check=True, timeout=TIMEOUT
        )
        assert done.stderr == ""
        return done.stdout.split()


@pytest.fixture
def bash(shell: Shell, tmp_path: Path) -> Bash:
    return Bash(shell, tmp_path)


def test_commands(bash: Bash) -> None:
    assert bash.offers("") == [name for row in ONE_SHOT_COMMANDS for name in (row.name, *row.aliases)]
    assert bash.offers("re") == ["remove"]
    assert bash.offers("--redis", "x", "-o", "json", "sta") == ["status"]
    assert bash.offers("help", "stat") == ["status"]
    assert bash.offers("completion", "") == [*SHELLS, *WORD_SOURCES]


def test_flags(bash: Bash) -> None:
    assert bash.offers("--re") == ["--redis"]
    assert bash.offers("--ve") == ["--version"]
    assert bash.offers("create", "--w") == ["--where"]
    assert bash.offers("status", "--w") == []
    assert bash.offers("ps", "--st") == ["--state"]
    for row in ONE_SHOT_COMMANDS:
        own = {name for item in row.arguments if item.is_flag for name in item.names}
        common = {name for item in FLAGS_OF_ALL_COMMANDS for name in item.names}
        assert set(bash.offers(row.name, "-")) == own | common | {"-h", "--help"}


def test_values(bash: Bash) -> None:
    assert bash.offers("list", "-o", "") == ["table", "json", "ids"]
    assert bash.offers("list", "--state", "e") == ["exited"]
    assert bash.offers("create", "--runtime", "") == ["script", "docker"]
    assert bash.offers("events", "--since", "") == []


def test_sessions(shell: Shell, bash: Bash) -> None:
    first, second = (shell.obedient.add(session=f"{number}{'0' * 9}cccccccccc") for number in (1, 2))

    assert bash.offers("status", "") == [first, second]
    assert bash.offers("remove", first, "2") == [second]
    assert bash.offers("wait", "3") == []


def test_names(shell: Shell, bash: Bash) -> None:
    first, second = shell.obedient.add(name="web-1"), shell.obedient.add("exited", name="web-1")
    shell.obedient.add(session="a1" + "0" * 8 + "c" * 10, name="db")
    third = shell.obedient.add(session="b1" + "0" * 8 + "c" * 10)

    assert bash.offers("logs", "we") == bash.offers("remove", first, "w") == ["web-1"]
    assert set(bash.offers("status", "")) > {first, second, third, "web-1", "db"}
    assert bash.offers("inspect", "b") == [third]
    assert bash.offers("logs", "web-1", "-") != []


def test_hosts(shell: Shell, bash: Bash) -> None:
    shell.node.heartbeat_fields = {"host": "game7.example.net", "heartbeat": 60.0}
    shell.node.announce()

    assert bash.offers("drain", "ga") == bash.offers("list", "--cloud", "g") == ["game7.example.net"]
    assert bash.offers("drain", "") == ["c" * 10, "game7.example.net"]


def test_nodes(shell: Shell, bash: Bash) -> None:
    shell.node.redis.zadd(shell.node.names.nodes_key, {"d" * 10: 1, "$(touch ran)": 1})

    assert bash.offers("drain", "") == bash.offers("list", "--cloud", "") == ["c" * 10, "d" * 10, "here"]
    assert bash.offers("undrain", "c" * 10, "d") == ["d" * 10]
    assert bash.offers("clouds", "--la") == bash.offers("nodes", "--la") == ["--label"]
    assert not (bash.folder / "ran").exists()


def test_what_somebody_wrote_into_redis_is_not_run(shell: Shell, bash: Bash) -> None:
    session = shell.obedient.add()
    for bad in ("$(touch ran)", "`touch ran`", "x;touch ran", "*"):
        shell.node.redis.zadd(shell.node.names.sessions_key, {bad: 1})

    assert bash.offers("status", "") == [session]
    assert not (bash.folder / "ran").exists()


def test_without_redis_nothing_is_offered_and_nothing_said(shell: Shell, bash: Bash) -> None:
    bash._env["PYCLOUD_REDIS_URL"] = "redis://127.0.0.1:1"

    assert bash.offers("status", "") == []


@pytest.mark.parametrize("name", SHELLS)
def test_each_shell_can_read_its_script(shell: Shell, name: str, tmp_path: Path) -> None:
    file = tmp_path / "script"
    file.write_bytes(shell.run("completion", name).out)
    done = subprocess.run([program(name), "-n", str(file)], capture_output=True, text=True, timeout=TIMEOUT)

    assert (done.returncode, done.stderr) == (0, "")


def test_fish_offers_commands(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "script"
    file.write_bytes(shell.run("completion", "fish").out)
    command = [program("fish"), "--no-config", "-c", f"source {file}; complete -C 'pycloudctl re'"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=shell.environ)

    assert done.stdout.split()[0] == "remove"


def test_fish_and_zsh_offer_names(shell: Shell, tmp_path: Path) -> None:
    shell.obedient.add(name="web-1")
    environ = Bash(shell, tmp_path)._env
    fish = tmp_path / "fish"
    fish.write_bytes(shell.run("completion", "fish").out)
    command = [program("fish"), "--no-config", "-c", f"source {fish}; complete -C 'pycloudctl status w'"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environ)
    assert done.stdout.split()[0] == "web-1"

    zsh = tmp_path / "zsh"
    zsh.write_bytes(shell.run("completion", "zsh").out)
    words = f"compdef() {{ }}; compadd() {{ print -l -- ${{(P)2}} }}; source {zsh}; _pycloudctl_sessions"
    done = subprocess.run([program("zsh"), "-f", "-c", words], capture_output=True, text=True, env=environ)
    assert done.stdout.split()[1:] == ["web-1"]


def test_an_unknown_shell(shell: Shell) -> None:
    result = shell.run("completion", "tcsh")

    assert (result.code, result.out) == (2, b"")
    assert "bash" in result.err
