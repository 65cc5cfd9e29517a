"""Images made without any registry: a base of this machine's own files, and PyCloud's, built on that by its Dockerfile.

The base holds what official Python images hold, as far as the Dockerfile needs it: the Python that runs the tests, pip,
a shell with its tools (busybox), and a Redis server for tests. The packages that PyCloud depends on are fetched here,
with this machine's settings for pip, and lie in the base, whose own settings send pip to them: so the build needs no
network, and the Dockerfile knows nothing of all this.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pip

from tests.support.engine import BUSYBOX, Engine
from tests.support.redis_server import default_binary

ROOT = Path(__file__).resolve().parents[2]
WHEELS = "/wheels"
PIP_CONF = f"[global]\nno-index = true\nfind-links = {WHEELS}\ndisable-pip-version-check = true\n"
ACCOUNTS = {"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n"}
NOT_NEEDED = shutil.ignore_patterns(
    "test", "tests", "idlelib", "tkinter", "turtledemo", "*-packages", "config-*", "*.a"
)


def docker(engine: Engine, *words: str | Path, stdin: Path | None = None, check: bool = True) -> str:
    """One call of the engine's command line with the builder that every version has; what it wrote to both outputs."""
    own = {"DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(engine.home / "cli"), "DOCKER_BUILDKIT": "0"}
    with (stdin or Path(os.devnull)).open("rb") as source:
        done = subprocess.run(
            ["docker", *map(str, words)],
            env=os.environ | own,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0 or not check, f"docker {words}: {done.stdout}"
    return done.stdout.strip()


def import_base(engine: Engine, folder: Path, tag: str) -> None:
    """Make the base image ``tag``; ``folder`` is an empty one for the files in between."""
    root, archive = folder / "root", folder / "base.tar"
    make_root(root)
    _fetch_wheels(root / WHEELS.lstrip("/"))
    owner = ["--owner=0", "--group=0", "--numeric-owner"]
    subprocess.run(["tar", "-C", str(root), *owner, "-cf", str(archive), "."], check=True)
    path = f"{python().parent}:/usr/local/bin:/usr/bin:/bin"
    docker(engine, "import", "--change", f"ENV PATH={path}", "-", tag, stdin=archive)
    shutil.rmtree(root)
    archive.unlink()


def build(engine: Engine, base: str, tag: str) -> None:
    """Build PyCloud's image on a base, as its Dockerfile says."""
    docker(engine, "build", "--build-arg", f"BASE={base}", "--tag", tag, ROOT)


def python() -> Path:
    """The Python of this machine that the tests' environment was made with."""
    found = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    return found.resolve()


def make_root(root: Path) -> None:
    """Python, pip, busybox and a Redis server, with the libraries that they and PyCloud's packages need."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    _copy_tree(stdlib, root)
    _copy_tree(Path(pip.__file__).parent, root, _site_packages())
    for name in ("python3", "python"):
        link = root / str(python().parent / name).lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(python())
    redis = default_binary()
    packages = Path(sysconfig.get_path("platlib"))
    extensions = [*(stdlib / "lib-dynload").glob("*.so"), *packages.rglob("*.so")]
    for file in {python(), *_libraries([python(), redis, *extensions])}:
        _copy(file, root)
    _copy(redis, root, Path("/usr/bin/redis-server"))
    _copy(BUSYBOX, root)
    for tool in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if not (root / "bin" / tool).exists():
            (root / "bin" / tool).symlink_to("busybox")
    _write_settings(root)


def _write_settings(root: Path) -> None:
    etc = root / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "pip.conf").write_text(PIP_CONF)
    for name, content in ACCOUNTS.items():
        (etc / name).write_text(content)
    for name, mode in (("root", 0o755), ("tmp", 0o1777)):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(mode)


def _fetch_wheels(folder: Path) -> None:
    """What PyCloud needs to run and to be built, as ``setup.py`` and ``pyproject.toml`` say."""
    wanted = [line for line in importlib.metadata.requires("pycloud") or [] if not re.search(r";.*\bextra\b", line)]
    wanted += tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder), *wanted]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


def _site_packages() -> Path:
    """Where that Python, outside of any environment, looks for packages."""
    asked = [str(python()), "-c", "import site, json; print(json.dumps(site.getsitepackages()))"]
    return Path(json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)[0])


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """The shared libraries that programs and extension modules load, and the loader itself."""
    listing = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True).stdout
    return {Path(path) for path in re.findall(r"^\t(?:\S+ => )?(/\S+) \(0x", listing, re.MULTILINE)}


def _copy_tree(source: Path, root: Path, parent: Path | None = None) -> None:
    target = root / str(parent / source.name if parent else source).lstrip("/")
    shutil.copytree(source, target, ignore=NOT_NEEDED, symlinks=True)


def _copy(source: Path, root: Path, place: Path | None = None) -> None:
    """The file itself, also where a link led to it."""
    target = root / str(place or source).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
