"""The contracts in pyproject.toml fail when they should, each broken in a copy of the tree, and hold at run time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.keeper import keeper

ROOT = Path(__file__).resolve().parents[2]
LAYERS = "Packages import only the packages below them"
REQUESTER = "The requester's side knows nothing of the daemon"
KEEPER = "The keeper imports the standard library and itself only"
CYCLES = "No two packages or modules beside each other import each other"
#: What no module of the requester's side may import, and none of them may load either.
(DAEMON,) = (
    contract["forbidden_modules"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if contract["name"] == REQUESTER
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests" / "support").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "support" / "import_contracts.py", tmp_path / "tests" / "support")
    shutil.copytree(ROOT / "pycloud", tmp_path / "pycloud", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def broken_in(tree: Path) -> set[str]:
    """The names of the contracts that ``lint-imports`` reports as broken."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False)
    found = {line.removesuffix(" BROKEN").strip() for line in done.stdout.splitlines() if line.endswith(" BROKEN")}
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return found


@pytest.mark.parametrize(
    ("module", "line", "contracts"),
    [
        ("protocol/keys.py", "from pycloud.transport import url", {LAYERS, CYCLES}),
        ("cluster/placement.py", "from pycloud.sessions import watcher", {LAYERS}),
        ("shell/base/flags.py", "from pycloud.store import requests", {REQUESTER}),
        ("client/errors.py", "from pycloud.transport import pipeline", {REQUESTER}),
        ("keeper/system/procfs.py", "import psutil", {KEEPER}),
        ("keeper/ipc/protocol.py", "def f():\n    import msgspec", {KEEPER}),
        ("keeper/event_loop.py", "from pycloud import errors", {KEEPER}),
        ("protocol/messages.py", "from pycloud.protocol import decoding", {CYCLES}),
        ("flat.py", '"""A module in no layer."""', {LAYERS}),
    ],
)
def test_a_contract_that_is_broken_is_reported(copy: Path, module: str, line: str, contracts: set[str]) -> None:
    with (copy / "pycloud" / module).open("a") as file:
        file.write(f"\n{line}\n")
    assert contracts <= broken_in(copy)


def test_the_tree_keeps_every_contract(copy: Path) -> None:
    assert broken_in(copy) == set()


def test_the_keeper_starts_where_nothing_else_can_be_imported(tmp_path: Path) -> None:
    alone = tmp_path / "alone" / "pycloud"
    alone.mkdir(parents=True)
    for name in ("__init__.py", "fault_points.py"):
        shutil.copy(ROOT / "pycloud" / name, alone)
    shutil.copytree(ROOT / "pycloud" / "keeper", alone / "keeper")
    path, module = str(alone.parent), "pycloud.keeper"
    run = f"import runpy, sys; sys.path.append({path!r}); runpy.run_module({module!r}, None, '__main__')"
    with keeper(tmp_path / "data", start=False) as process:
        process.program = [sys.executable, "-S", "-I", "-c", run]
        process.start()
        with process.client() as client:
            assert client.event(client.start("exit 3"))["exit_code"] == 3


@pytest.mark.parametrize("module", ["pycloud.client", "pycloud.shell.main", "pycloud.shell.prompt.prompt"])
def test_the_requesters_side_loads_nothing_of_the_daemon(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert len(DAEMON) > 5
    assert not {"gevent", "docker", *DAEMON} & set(loaded)
    if module != "pycloud.shell.prompt.prompt":
        assert not {"prompt_toolkit", "pygments", "pycloud.shell.live.feed"} & set(loaded)
