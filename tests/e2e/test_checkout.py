"""A fresh checkout in a directory with a space in its name: ``make run``, and what it says to type; ``make check``."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import ROOT, sessions_of
from tests.support.folders import copy_of_tree
from tests.support.redis_server import RedisServer
from tests.support.requirements import missing, program
from tests.support.waiting import wait_until

#: Setting up installs everything from the package index.
SET_UP = 300.0

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="an installed package has no setup.py")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_of_tree(tmp_path / "a checkout")


@pytest.fixture
def environ(own_redis: RedisServer, tmp_path: Path) -> dict[str, str]:
    """A newcomer's: nothing of PyCloud in it but a Redis that is nobody else's."""
    foreign = ("PYCLOUD_", "PYTHON", "XDG_", "MAKE", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "HOME": str(tmp_path), "PYCLOUD_REDIS_URL": own_redis.url, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


@pytest.fixture
def running(checkout: Path, environ: dict[str, str]) -> Iterator[Path]:
    """``make run`` goes on; the file that it writes to."""
    said = checkout.parent / "said"
    command = [program("make"), "run", f"PYTHON={sys.executable}"]
    with said.open("wb") as out:
        process = subprocess.Popen(command, cwd=checkout, env=environ, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_until(lambda: " ready: " in said.read_text() or process.poll() is not None, SET_UP, said.read_text)
        assert process.poll() is None, said.read_text()
        yield said
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        process.wait(60)


def test_make_run_and_what_it_says_to_type(checkout: Path, environ: dict[str, str], running: Path) -> None:
    def typed(line: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", line], cwd=checkout, env=environ, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    create, list_all = re.findall(r"^    (\S.*pycloudctl.*)$", running.read_text(), re.MULTILINE)
    created = re.search(r"[0-9a-f]{20}", typed(create))
    assert created is not None
    assert created[0] in typed(list_all)
    typed(list_all.replace("list", f"remove {created[0]}"))
    assert sessions_of((checkout / ".pycloud" / "cloud-id").read_text().strip()) == {}
    readme = (checkout / "README.md").read_text()
    assert f"$ {create}\n$ {list_all}\n" in readme


def test_the_formatter_leaves_pages_alone(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "README.md").write_text("```python\nx   =  1          # laid out by hand\n```\n")
    (tmp_path / "fine.py").write_text("x = 1\n")
    command = [sys.executable, "-m", "ruff", "format", "--check", "--no-cache"]
    if importlib.util.find_spec("ruff") is None:
        missing("ruff is not installed")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout
    assert re.search(r'"ruff>=[\d.]+,<[\d.]+"', (ROOT / "setup.py").read_text())
