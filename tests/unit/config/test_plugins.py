"""Settings that name runtimes of other packages, and the tables of those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
import pytest

from pycloud.config import loader, types
from pycloud.errors import ConfigError
from tests.support.fake_machine import Machine


class VmSettings(msgspec.Struct, forbid_unknown_fields=True):
    """What the runtime ``vm`` would have as settings."""

    memory: Annotated[int, msgspec.Meta(ge=1)] = 256
    images: tuple[str, ...] = ()


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The look-ups of installed runtimes so far; ``vm`` is installed."""
    made: list[str] = []

    def installed() -> Mapping[str, str]:
        made.append("lookup")
        return {"vm": "vm_runtime:VmRuntime"}

    monkeypatch.setattr(types, "installed", installed)
    monkeypatch.setattr(loader, "installed", installed)
    return made


def test_metadata_is_read_only_for_a_name_that_is_not_built_in(machine: Machine, lookups: list[str]) -> None:
    machine.write(machine.own_file, 'runtime = ["docker", "script"]\n[docker]\nparallel = 2\n')
    machine.load()
    assert lookups == []
    assert machine.load(runtime="vm,script").runtime == ("vm", "script")
    assert lookups == ["lookup"]


def test_an_unknown_runtime_is_refused_with_all_that_there_are(machine: Machine, lookups: list[str]) -> None:
    assert machine.refusal(runtime="mv") == "flag --runtime: must be auto, or some of script, docker, vm, not 'mv'"
    machine.write(machine.own_file, "[mv]\n")
    assert machine.refusal() == f"file {machine.own_file}: unknown key mv"


def test_the_table_of_a_plugin(machine: Machine, lookups: list[str]) -> None:
    assert machine.load().table("vm", VmSettings) == VmSettings()
    machine.write(machine.system_file, '[vm]\nmemory = 512\nimages = ["a"]\n')
    machine.write(machine.own_file, "[vm]\nmemory = 1024\n")
    config = machine.load()
    assert config.table("vm", VmSettings) == VmSettings(1024, ("a",))
    assert config.was_set("vm")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("memory = 0", "vm.memory: Expected `int` >= 1"),
        ("images = [7]", "vm.images[0]: Expected `str`, got `int`"),
        ("memry = 1", "vm: Object contains unknown field `memry`"),
    ],
)
def test_what_the_table_of_a_plugin_may_not_hold(
    machine: Machine, lookups: list[str], content: str, reason: str
) -> None:
    machine.write(machine.own_file, f"[vm]\n{content}\n")
    with pytest.raises(ConfigError) as refused:
        machine.load().table("vm", VmSettings)
    assert refused.value.message == f"file {machine.own_file}: {reason}"
