"""README.md tells the truth: its snippet runs against a real daemon, and its command lines can be typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pycloud import app
from pycloud import client as library
from pycloud.protocol.container_spec import parse, possible_runtimes
from pycloud.shell.dispatch.parser import Grammar
from tests.e2e.shell.recording import placed
from tests.support.command_lines import words_of
from tests.support.daemon import ROOT, Daemon
from tests.support.redis_server import RedisServer

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
    printed = [block for block in TYPED if block.startswith("$ pycloudctl create ") and "\nSESSION " in block]
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


def test_every_error_of_the_library_is_on_the_page() -> None:
    kinds = [name for name in library.__all__ if issubclass(getattr(library, name), Exception)]

    assert [name for name in kinds if f"`{name}`" not in PAGE] == []


def test_the_snippet(own_redis: RedisServer, tmp_path: Path) -> None:
    (snippet,) = (block for kind, block in BLOCKS if kind == "python")
    assert snippet.count("redis://localhost:6379/0") == 1
    with Daemon(tmp_path / "cloud", own_redis.url) as daemon:
        done = subprocess.run(
            [sys.executable, "-c", snippet.replace("redis://localhost:6379/0", own_redis.url)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert re.match(r"session [0-9a-f]{20} runs on host\.test:\d+\nrunning\n", done.stdout)
        assert daemon.sessions() == {}
