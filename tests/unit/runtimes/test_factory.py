"""Which class a runtime is, and what the configuration has of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pycloud.config import Config, plugins
from pycloud.errors import ConfigError
from pycloud.protocol import container_spec
from pycloud.protocol.container_spec import RUNTIME_NAMES, possible_runtimes
from pycloud.runtimes import factory
from pycloud.runtimes.base import Runtime
from tests.support.fake_machine import config_with


class Plugin(Runtime):
    """A plugin of which nothing but its class methods is used."""

    kind: ClassVar[str] = "plugin"
    ended: ClassVar[int | None] = 2

    def __init__(self, *_arguments: object) -> None:
        pass

    @classmethod
    def detect(cls, config: Config) -> str | None:
        return "the host has no plug"

    @classmethod
    def check(cls, config: Config) -> None:
        raise ConfigError("the table is wrong")

    @classmethod
    def matches(cls, script: str) -> bool:
        if script == "fails":
            raise ValueError(script)
        return script.startswith("plug")

    @classmethod
    def end_all(cls, config: Config) -> int | None:
        return cls.ended


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The runtimes that are installed, as ``module:class`` by name; nothing of it outlives the test."""
    found = {"plugin": f"{__name__}:Plugin"}
    monkeypatch.setattr(factory, "installed", lambda: found)
    yield found
    container_spec.set_plugins({})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_with(tmp_path, runtime=("plugin",))


def test_the_built_in_runtimes_need_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_metadata() -> Any:
        raise AssertionError("metadata was read")

    monkeypatch.setattr(factory, "installed", no_metadata)
    assert tuple(factory.runtime_class(kind).kind for kind in RUNTIME_NAMES) == RUNTIME_NAMES == tuple(factory.BUILT_IN)


def test_a_plugin_is_asked_for_scripts_before_the_built_in_runtimes(
    installed: dict[str, str], config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert factory.create_runtimes(config, "node", 1024).kinds == ("plugin",)
    assert caplog.messages == ["runtime plugin cannot run sessions on this host: the host has no plug"]
    assert possible_runtimes("plug it in") == ("plugin", "script")
    assert possible_runtimes("exec sleep 1") == ("script",)
    assert possible_runtimes("fails") == ("script", "docker"), "an error counts as no"


def test_settings_of_a_plugin_are_checked(installed: dict[str, str], config: Config) -> None:
    with pytest.raises(ConfigError, match="the table is wrong"):
        factory.check(config)


@pytest.mark.parametrize(("runtime", "ended", "total"), [("plugin", 2, 2), ("plugin", None, None), ("auto", 2, None)])
def test_sessions_of_all_runtimes_are_ended(
    installed: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    runtime: str,
    ended: int | None,
    total: int | None,
) -> None:
    monkeypatch.setattr(Plugin, "ended", ended)
    assert factory.end_all(config_with(tmp_path, runtime=(runtime,))) == total


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("no_such_module:Runtime", "runtime other: no_such_module:Runtime cannot be loaded: No module named"),
        (f"{__name__}:NoSuch", "cannot be loaded: module .* has no attribute 'NoSuch'"),
        (f"{__name__}:Plugin", "is plugin, not the name of its entry point"),
    ],
)
def test_a_plugin_that_cannot_be_loaded(installed: dict[str, str], place: str, message: str) -> None:
    installed["other"] = place
    with pytest.raises(ConfigError, match=message):
        factory.runtime_class("other")


def test_installed_runtimes_are_found_by_their_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "some_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: some-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[pycloud.runtimes]\nvm = some_package.vm:VmRuntime\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    plugins.installed.cache_clear()
    assert plugins.installed()["vm"] == "some_package.vm:VmRuntime"
    plugins.installed.cache_clear()
