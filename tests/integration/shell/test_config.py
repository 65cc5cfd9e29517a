"""``pycloudctl config show``: each setting, and where it came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pycloud.config.loader import Host
from pycloud.shell.node_commands.config import setting_values
from tests.support.pycloudctl import Shell


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


def test_passwords_are_hidden(shell: Shell) -> None:
    shell.env["PYCLOUD_REDIS_URL"] = "redis://me:sesame@nowhere.test:1/0"
    for words in ((), ("-o", "json"), ("--redis", "redis://:sesame@nowhere.test:2/0?password=sesame")):
        result = shell.run("config", "show", *words)
        assert (result.code, result.err) == (0, "")
        assert b"sesame" not in result.out
        assert b"nowhere.test" in result.out


def test_it_shows_what_the_program_uses(shell: Shell) -> None:
    lines = shell.run("config", "show", "--timeout", "3").lines
    assert [line.split() for line in lines] == [
        ["redis", shell.url, "variable", "PYCLOUD_REDIS_URL"],
        ["namespace", shell.cloud.names.namespace, "variable", "PYCLOUD_NAMESPACE"],
        ["timeout", "3", "flag", "--timeout"],
    ]
    rows = [json.loads(line) for line in shell.run("--namespace", "x", "config", "show", "-o", "json").lines]
    assert rows[1] == {"name": "namespace", "value": "x", "source": "flag --namespace"}


def test_flags_of_the_start_hold_for_every_line(shell: Shell) -> None:
    result = shell.run("--namespace", "x", stdin=b"config show\n")

    assert "flag --namespace" in result.lines[1]


def test_it_needs_no_redis_and_a_word(shell: Shell) -> None:
    assert shell.run("config", "show", "--redis", "redis://127.0.0.1:1").code == 0
    assert shell.run("config").code == 2
    assert "show" in shell.run("config", "shwo").err
