"""Every documented way to install PyCloud gives programs that start.

One virtual environment serves all ways: the first installation brings the dependencies (from the package index), which
proves that they resolve; the later ones replace PyCloud alone, which proves that the archive, the tag and the editable
tree hold all that is needed. All work on a copy of the tree, so that nothing is left behind in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import pycloud
from tests.support.folders import ROOT, copy_of_tree

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="an installed package has no setup.py")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the checkout and without its settings; its output."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYCLOUD_"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


class Environment:
    """A virtual environment, and what is asked of it after each installation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        run(sys.executable, "-m", "venv", folder, cwd=folder.parent)

    def install(self, *arguments: str | Path) -> None:
        run(self.bin / "python", "-m", "pip", "install", "--quiet", *arguments, cwd=self.folder)

    def replace(self, *arguments: str | Path) -> None:
        """Install PyCloud alone, over what is there, with the build tools that are there."""
        self.uninstall()
        self.install("--no-deps", "--no-build-isolation", *arguments)

    def uninstall(self) -> None:
        run(self.bin / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "pycloud", cwd=self.folder)

    def check(self) -> None:
        """All three programs start, and files that are no Python came along."""
        version = pycloud.__version__
        assert run(self.bin / "pycloud", "--version", cwd=self.folder) == f"pycloud {version}\n"
        assert run(self.bin / "python", "-m", "pycloud.app", "--version", cwd=self.folder) == f"pycloud {version}\n"
        assert version in run(self.bin / "pycloudctl", "--version", cwd=self.folder)
        code = "import pycloud, pathlib; print(*pathlib.Path(pycloud.__file__).parent.rglob('*'), sep='\\n')"
        names = {Path(line).name for line in run(self.bin / "python", "-c", code, cwd=self.folder).splitlines()}
        assert names >= {path.name for path in (ROOT / "pycloud" / "store" / "lua").glob("*.lua")} | {
            "py.typed",
            "keeper",
        }


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_tree(tmp_path_factory.mktemp("tree") / "pycloud")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Iterator[Environment]:
    """With PyCloud and its dependencies, installed in the plain way: ``pip install .``."""
    made = Environment(tmp_path_factory.mktemp("environment") / "venv")
    made.install(tree)
    made.install("setuptools>=64", "wheel")
    yield made
    shutil.rmtree(made.folder)


def test_pip_install(environment: Environment) -> None:
    environment.check()
    assert "pycloud" not in run(environment.bin / "python", "-m", "pip", "check", cwd=environment.folder)


def test_sdist(environment: Environment, tree: Path, tmp_path: Path) -> None:
    run(environment.bin / "python", "setup.py", "--quiet", "sdist", "--dist-dir", tmp_path, cwd=tree)
    (archive,) = tmp_path.glob("pycloud-*.tar.gz")
    with tarfile.open(archive) as content:
        held = {name.partition("/")[2] for name in content.getnames()}
    # What a file is written into may still be missing in a young tree: what is there must be in the archive.
    wanted = [
        "bin/*",
        "pycloud/store/lua/*.lua",
        "docs/**/*.md",
        "examples/*",
        "tests/**/*.py",
        "*.md",
        "LICENSE",
        "Makefile",
    ]
    for pattern in (*wanted, "pycloud/**/*.py", "setup.py", "pyproject.toml", ".ci/run"):
        assert {str(path.relative_to(tree)) for path in tree.glob(pattern)} <= held
    environment.replace(archive)
    environment.check()


def test_a_tag_of_a_repository(environment: Environment, tree: Path, tmp_path: Path) -> None:
    clone = shutil.copytree(tree, tmp_path / "clone")
    git = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.net", "-c", "init.defaultBranch=main"]
    run(*git, "init", "--quiet", cwd=clone)
    run(*git, "add", "--all", cwd=clone)
    run(*git, "commit", "--quiet", "--message", "all", cwd=clone)
    run(*git, "tag", "v-test", cwd=clone)
    (clone / "setup.py").write_text("raise SystemExit('not the tag')")
    run(*git, "commit", "--quiet", "--all", "--message", "broken", cwd=clone)
    environment.replace(f"git+file://{clone}@v-test")
    environment.check()


def test_editable(environment: Environment, tree: Path) -> None:
    environment.replace("--editable", tree)
    environment.check()
    found = run(environment.bin / "python", "-c", "import pycloud; print(pycloud.__file__)", cwd=environment.folder)
    assert Path(found.strip()) == tree / "pycloud" / "__init__.py"
