"""docs/client.md agrees with the library: its snippet runs; signatures, errors and deprecated names are complete."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pycloud import client as library
from pycloud.client import Client
from pycloud.client.deprecated import RENAMED
from tests.support.daemon import ROOT, Daemon
from tests.support.redis_server import RedisServer

PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
#: Signatures as they stand in the first column of the tables, by name.
CALLS: dict[str, str] = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", PAGE, re.MULTILINE))
DEPRECATED = PAGE.partition("\n## Deprecated names\n")[2]


def parameters(arguments: str) -> list[tuple[str, bool, object]]:
    """Name, whether by keyword only, and default (``...`` for one that is left open) of each parameter of a row."""
    parsed = ast.parse(f"def call({arguments}): pass").body[0]
    assert isinstance(parsed, ast.FunctionDef)
    plain, named = parsed.args.args, parsed.args.kwonlyargs
    padding = [None] * (len(plain) - len(parsed.args.defaults))
    defaults = [*padding, *parsed.args.defaults, *parsed.args.kw_defaults]
    return [
        (argument.arg, argument in named, inspect.Parameter.empty if default is None else ast.literal_eval(default))
        for argument, default in zip([*plain, *named], defaults, strict=True)
    ]


def test_every_public_call_is_on_the_page_and_no_other() -> None:
    public = {
        name
        for name, value in vars(Client).items()
        if inspect.isfunction(value) and not name.startswith("_") and "Deprecated" not in (value.__doc__ or "")
    }
    assert set(CALLS) == public | {"Client"}


@pytest.mark.parametrize("name", CALLS)
def test_signatures(name: str) -> None:
    call = Client if name == "Client" else getattr(Client, name)
    actual = [parameter for parameter in inspect.signature(call).parameters.values() if parameter.name != "self"]
    shown = parameters(CALLS[name])
    assert [(word, keyword) for word, keyword, _ in shown] == [
        (parameter.name, parameter.kind is parameter.KEYWORD_ONLY) for parameter in actual
    ]
    for (word, _, default), parameter in zip(shown, actual, strict=True):
        if default is not ... and word != "url":
            assert default == parameter.default, word


def test_every_error_is_on_the_page() -> None:
    kinds = [name for name in library.__all__ if issubclass(getattr(library, name), Exception)]

    assert [name for name in kinds if f"`{name}`" not in PAGE] == []


def test_every_deprecated_name_is_on_the_page() -> None:
    methods = [name for name, value in vars(Client).items() if "Deprecated" in (getattr(value, "__doc__", "") or "")]
    assert methods
    assert [name for name in methods if f"| `Client.{name}` |" not in DEPRECATED] == []
    for module, name in RENAMED:
        assert f"`{name}`" in PAGE
        assert module == "pycloud.client" or f"| `{module}` |" in DEPRECATED


def test_the_snippet(own_redis: RedisServer, tmp_path: Path) -> None:
    (snippet,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
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
