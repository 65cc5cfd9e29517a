"""README.md agrees with the program: its command lines can be typed, its install lines work, its output is real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pycloud
from pycloud import app
from pycloud.protocol.container_spec import parse, possible_runtimes
from pycloud.shell.dispatch.parser import Grammar
from tests.e2e.shell.recording import placed
from tests.support.command_lines import words_of
from tests.support.daemon import ROOT
from tests.support.folders import copy_of_tree

#: Without the recording: that has tests of its own.
PAGE = placed((ROOT / "README.md").read_text(encoding="utf-8"), "")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TYPED = [block.replace("\\\n", "") for kind, block in BLOCKS if not kind]
LINES = [line.removeprefix("$ ") for block in TYPED for line in block.splitlines() if not line.startswith("docker ")]


CTL = [words for line in LINES if (words := words_of(line, "pycloudctl")) is not None]
CLOUD = [words for line in LINES if (words := words_of(line, "pycloud")) is not None]


def test_there_is_something_to_test() -> None:
    assert len(CTL) >= 5
    assert len(CLOUD) >= 3


@pytest.mark.parametrize("words", CTL, ids=" ".join)
def test_lines_for_pycloudctl(words: list[str]) -> None:
    assert Grammar(interactive=False).parse(words).command == words[0]


@pytest.mark.parametrize("words", CLOUD, ids=" ".join)
def test_lines_for_pycloud(words: list[str]) -> None:
    alternatives = " ".join(words).split(" | ")
    for text in alternatives:
        app._arguments(text.split())


def test_both_example_scripts_are_on_the_page_with_what_they_print() -> None:
    hello = (ROOT / "examples" / "hello.sh").read_text(encoding="utf-8").splitlines(keepends=True)
    script = "".join(line for line in hello if line.startswith("#!") or not line.startswith("#"))
    blocks = [block for kind, block in BLOCKS if not kind]
    assert script.strip() in [block.strip() for block in blocks]
    (container,) = (block for block in blocks if possible_runtimes(block) == ("docker",))
    assert parse(container).options == {"port": 80}
    printed = [
        block
        for block in TYPED
        if re.match(r"\$ (\S+/)?(python )?\S*pycloudctl create ", block) and "\nSESSION " in block
    ]
    names = {
        "PYCLOUD_SESSION": "1dfa4b4c605601d6f0fa",
        "PYCLOUD_HOSTNAME": "game7.example.net",
        "PYCLOUD_PORT": "51667",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", script.replace("sleep 60", "true")],
        env={**os.environ, **names, "GREETING": "hi"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed[0].endswith(done.stdout)
    assert len(printed) == 2


def test_the_install_lines_for_a_virtual_environment(tmp_path: Path) -> None:
    """pip and pipx get the same argument; the lines for pip are pasted into a shell, in a copy of the tree."""
    (pasted,) = (block for block in TYPED if " -m venv " in block)
    (pipx,) = (line for line in LINES if line.startswith("pipx install "))
    assert pipx.removeprefix("pipx ") in pasted
    foreign = ("PYCLOUD_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [
            "/bin/sh",
            "-e",
            "-c",
            pasted + "~/pycloud-venv/bin/pycloud --version\n~/pycloud-venv/bin/pycloudctl --version\n",
        ],
        cwd=copy_of_tree(tmp_path / "checkout"),
        env={**kept, "HOME": str(tmp_path), "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"pycloud {pycloud.__version__}\npycloudctl {pycloud.__version__}\n")
