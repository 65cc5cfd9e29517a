"""Where ``config show`` says that a setting came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycloud.config.loader import Host
from pycloud.shell.node_commands.config import setting_values


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Somebody who has set nothing."""
    return Host(1000, "here", {}, tmp_path, tmp_path / "system.toml")


def sources(flags: dict[str, str], host: Host) -> dict[str, tuple[str, str]]:
    return {value.name: (value.value, value.source) for value in setting_values(flags, host)}


def test_each_source(host: Host, tmp_path: Path) -> None:
    assert sources({}, host)["namespace"] == ("year4000.pycloud", "default")

    host.system_file.write_text('namespace = "system"\ncapacity = 5\n')
    assert sources({}, host)["namespace"] == ("system", f"file {host.system_file}")
    own = tmp_path / ".config/pycloud/pycloud.toml"
    own.parent.mkdir(parents=True)
    own.write_text('namespace = "own"\n')
    assert sources({}, host)["namespace"] == ("own", f"file {own}")
    named = tmp_path / "named.toml"
    named.write_text('namespace = "named"\n')
    assert sources({"config": str(named)}, host)["namespace"] == ("named", f"file {named}")

    shell = Host(1000, "here", {"PYCLOUD_NAMESPACE": "variable"}, tmp_path, host.system_file)
    assert sources({}, shell)["namespace"] == ("variable", "variable PYCLOUD_NAMESPACE")
    assert sources({"namespace": "flag"}, shell)["namespace"] == ("flag", "flag --namespace")
    assert sources({}, shell)["redis"] == ("redis://localhost:6379/0", "default")
