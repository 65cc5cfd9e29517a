"""The rules of docs/architecture.md, checked by reading the page and the imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "pycloud"
LONGEST_FILE, LONGEST_FUNCTION = 300, 40
REQUESTER = ("pycloud/client/", "pycloud/shell/")
DAEMON = (
    *("pycloud/connections.py", "pycloud/bus.py", "pycloud/subscriber.py", "pycloud/registry.py", "pycloud/runtimes/"),
    *("pycloud/embedded/", "pycloud/identity.py", "pycloud/claims.py", "pycloud/watcher.py", "pycloud/cloud.py"),
    *("pycloud/intake.py", "pycloud/adoption.py", "pycloud/heartbeat.py", "pycloud/daemon.py", "pycloud/app.py"),
    "pycloud/keeper/",
)


def modules_on_the_page() -> list[str]:
    """The paths that the page lists, from top to bottom."""
    return re.findall(r"^(pycloud/[\w/]+\.py)  ?", PAGE.read_text(), re.MULTILINE)


MODULES = {str(path.relative_to(ROOT)): path for path in sorted(PACKAGE.rglob("*.py"))}
OTHERS = [path for folder in ("tests", "bench") for path in sorted((ROOT / folder).rglob("*.py"))]
SOURCES = {**MODULES, **{str(path.relative_to(ROOT)): path for path in OTHERS}}


def file_of(name: str) -> str | None:
    """The module or package ``name`` as a path, None where there is none."""
    base = name.replace(".", "/")
    return next((path for path in (f"{base}.py", f"{base}/__init__.py") if path in MODULES), None)


def imports_of(path: Path) -> set[str]:
    """The paths of PyCloud's own modules that a file imports, wherever in it."""
    found: set[str | None] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {file_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {file_of(f"{node.module}.{alias.name}") or file_of(node.module) for alias in node.names}
    return {path for path in found if path}


def test_the_page_lists_every_module_once() -> None:
    listed = modules_on_the_page()
    assert sorted(listed) == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_up_the_page(module: str) -> None:
    listed = modules_on_the_page()
    above = listed[: listed.index(module)]
    assert sorted(imports_of(MODULES[module]) - set(above)) == []


@pytest.mark.parametrize("module", MODULES)
def test_the_two_sides_do_not_know_each_other(module: str) -> None:
    for own, other in ((REQUESTER, DAEMON), (DAEMON, REQUESTER)):
        if module.startswith(own):
            assert not [imported for imported in imports_of(MODULES[module]) if imported.startswith(other)]


def test_the_keeper_needs_nothing_but_the_standard_library() -> None:
    for module, path in MODULES.items():
        if module.startswith("pycloud/keeper/"):
            text = path.read_text()
            assert not re.search(r"^\s*(import|from) (gevent|redis|docker|msgspec|psutil|prompt_toolkit)", text, re.M)
            assert all(imported.startswith(("pycloud/keeper/", "pycloud/__init__")) for imported in imports_of(path))


@pytest.mark.parametrize("source", SOURCES)
def test_a_file_is_one_noun(source: str) -> None:
    assert len(SOURCES[source].read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("module", MODULES)
def test_a_function_fits_on_a_screen(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, f"{module}: {node.name}"


@pytest.mark.parametrize("module", MODULES)
def test_a_file_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[module].read_text()))
