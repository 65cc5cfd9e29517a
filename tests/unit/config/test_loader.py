"""Settings: where they come from, which source wins, what is refused and how that is said."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest

from pycloud.config.loader import Host, add_flags, load_target
from pycloud.config.settings import settings
from pycloud.errors import ConfigError
from tests.support.fake_machine import Machine


def test_defaults(machine: Machine) -> None:
    config = machine.load()
    assert config.redis == "redis://localhost:6379/0"
    assert config.namespace == "year4000.pycloud"
    assert config.hostname == "box.example.net"
    assert config.data_dir == machine.home / ".local/state/pycloud"
    assert config.run_dir == config.data_dir / "run"
    assert config.log_file is None
    assert (config.heartbeat, config.lost_after) == (1.0, 30.0)
    assert (config.capacity, config.labels, config.draining) == (None, (), False)
    assert config.files == ()
    assert set(config.sources.values()) == {"default"}
    assert not config.was_set("redis")


def test_defaults_of_root(root_machine: Machine) -> None:
    config = root_machine.load()
    assert (config.data_dir, config.run_dir) == (Path("/var/lib/pycloud"), Path("/run/pycloud"))


def test_xdg_directories(machine: Machine) -> None:
    machine.environ = {"XDG_STATE_HOME": "/state", "XDG_RUNTIME_DIR": "/run/user/7", "XDG_CONFIG_HOME": "relative"}
    config = machine.load()
    assert (config.data_dir, config.run_dir) == (Path("/state/pycloud"), Path("/run/user/7/pycloud"))


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_data_directory_of_its_own_brings_its_run_directory(tmp_path: Path, uid: int) -> None:
    machine = Machine(tmp_path, uid)
    machine.environ = {"XDG_RUNTIME_DIR": "/run/user/7"}
    assert machine.load(data_dir="/srv/cloud").run_dir == Path("/srv/cloud/run")
    assert machine.load(data_dir="/srv/cloud", run_dir="/run/two").run_dir == Path("/run/two")


def test_a_daemon_logs_to_a_file(machine: Machine) -> None:
    assert machine.load(daemon=True, data_dir="/srv/cloud").log_file == Path("/srv/cloud/pycloud.log")
    assert machine.load(daemon=True, log_file="/var/log/cloud").log_file == Path("/var/log/cloud")


def test_flags_win_over_variables_over_own_file_over_system_file(machine: Machine) -> None:
    machine.write(machine.system_file, "heartbeat = 2\nremember = 2\nstop_grace = 2\nlog_bytes = 8192\n")
    machine.write(machine.own_file, "heartbeat = 3\nremember = 3\nstop_grace = 3.5\n")
    machine.environ = {"PYCLOUD_HEARTBEAT": "4", "PYCLOUD_REMEMBER": "4", "PYCLOUD_NAMESPACE": ""}
    config = machine.load(heartbeat="5")
    assert (config.heartbeat, config.remember, config.stop_grace, config.log_bytes) == (5.0, 4.0, 3.5, 8192)
    assert config.sources["heartbeat"] == "flag --heartbeat"
    assert config.sources["remember"] == "variable PYCLOUD_REMEMBER"
    assert config.sources["stop_grace"] == f"file {machine.own_file}"
    assert config.sources["log_bytes"] == f"file {machine.system_file}"
    assert config.sources["namespace"] == "default"
    assert config.files == (machine.system_file, machine.own_file)


def test_a_named_file_replaces_the_usual_ones(machine: Machine, tmp_path: Path) -> None:
    machine.write(machine.own_file, "heartbeat = 3\n")
    named = machine.write(tmp_path / "mine.toml", "remember = 7\n")
    config = machine.load(config_file=str(named))
    assert (config.heartbeat, config.remember, config.files) == (1.0, 7.0, (named,))
    machine.environ = {"PYCLOUD_CONFIG": str(named)}
    assert machine.load().remember == 7.0


def test_a_named_file_must_exist(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^flag --config: the file /.*/gone\.toml does not exist$"):
        machine.load(config_file=str(tmp_path / "gone.toml"))
    machine.environ = {"PYCLOUD_CONFIG": "/nowhere/gone.toml"}
    assert machine.refusal() == "variable PYCLOUD_CONFIG: the file /nowhere/gone.toml does not exist"


def test_every_setting_can_come_from_everywhere(root_machine: Machine) -> None:
    """One value for each setting, given as text and as TOML: both must mean the same."""
    examples = {
        "redis": ("redis://example.net/0", '"redis://example.net/0"'),
        "namespace": ("other", '"other"'),
        "data_dir": ("/a", '"/a"'),
        "run_dir": ("/b", '"/b"'),
        "log_file": ("/c", '"/c"'),
        "log_level": ("debug", '"debug"'),
        "hostname": ("game7", '"game7"'),
        "runtime": ("docker", '"docker"'),
        "max_script_bytes": ("100", "100"),
        "stop_grace": ("0.5", "0.5"),
        "port_range": ("40000-40009", '"40000-40009"'),
        "run_as": ("root", '"root"'),
        "session_env": ("JAVA_HOME, LD_LIBRARY_PATH", '["JAVA_HOME", "LD_LIBRARY_PATH"]'),
        "embedded_redis": ("true", "true"),
        "heartbeat": ("2", "2"),
        "capacity": ("100", "100"),
        "labels": ("region=eu, disk=ssd", '{ region = "eu", disk = "ssd" }'),
        "draining": ("true", "true"),
        "session_weight": ("2", "2.0"),
        "load_weight": ("0.5", "0.5"),
        "lost_after": ("20", "20"),
        "remember": ("60", "60"),
        "log_bytes": ("4096", "4096"),
        "on_stop": ("remove", '"remove"'),
        "docker_host": ("unix:///run/engine.sock", '"unix:///run/engine.sock"'),
        "docker_allow": ("cap_add, sysctls", '["cap_add", "sysctls"]'),
        "docker_volumes": ("/srv/maps:ro", '["/srv/maps:ro"]'),
        "docker_images": ("year4000/*", '["year4000/*"]'),
        "docker_defaults": ('{"mem_limit": "1g"}', '{ mem_limit = "1g" }'),
        "docker_network": ("games", '"games"'),
        "docker_pull": ("never", '"never"'),
        "docker_parallel": ("4", "4"),
        "docker_timeout": ("5", "5.0"),
        "start_timeout": ("5", "5.0"),
    }
    assert list(examples) == list(settings())
    flags: dict[str, Any] = {name: text for name, (text, _) in examples.items()}
    by_flag = root_machine.load(**flags)
    root_machine.environ = {settings()[name].variable: text for name, (text, _) in examples.items()}
    by_variable = root_machine.load()
    root_machine.environ = {}
    root_machine.write(
        root_machine.own_file, "".join(f"{settings()[name].key} = {toml}\n" for name, (_, toml) in examples.items())
    )
    by_file = root_machine.load()
    for name in examples:
        value = getattr(by_flag, name)
        assert value == getattr(by_variable, name) == getattr(by_file, name)
        assert value != getattr(Machine(Path("/"), 0).load(), name)
        assert by_flag.was_set(name)
    assert by_flag.session_env == ("JAVA_HOME", "LD_LIBRARY_PATH")
    assert by_flag.port_range == (40000, 40009)


def test_help_lists_every_setting_with_variable_and_default() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    text = " ".join(parser.format_help().split())
    for setting in settings().values():
        assert f"{setting.flag} " in text
        assert f"(default: {setting.default_text}; variable {setting.variable})" in text
    assert parser.parse_args(["--no-embedded-redis"]).embedded_redis == "false"


def test_broken_toml_names_the_line(machine: Machine) -> None:
    machine.write(machine.own_file, "heartbeat = 2\nremember = = 2\n")
    assert "is not valid TOML" in machine.refusal()
    assert "line 2" in machine.refusal()


def test_toml_that_is_nested_too_deeply(machine: Machine) -> None:
    machine.write(machine.own_file, "a = " + "[" * 100_000)
    assert machine.refusal() == f"file {machine.own_file}: is nested too deeply"


def test_unreadable_files(machine: Machine) -> None:
    machine.own_file.mkdir(parents=True)
    assert machine.refusal() == f"file {machine.own_file}: cannot be read: Is a directory"
    machine.own_file.rmdir()
    machine.own_file.write_bytes(b"hostname = '\xff'")
    assert machine.refusal() == f"file {machine.own_file}: cannot be read: it is not UTF-8 text"


def test_a_relative_path_on_the_command_line_means_here(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert machine.load(data_dir="cloud").data_dir == tmp_path / "cloud"
    assert machine.load(data_dir="~/cloud").data_dir == Path("/home/somebody/cloud")


@pytest.mark.parametrize("url", ["redis://h/1", "redis://h?db=1", "unix:///s?db=1", "rediss://h:1/1"])
def test_another_database_needs_a_namespace_of_its_own(machine: Machine, url: str) -> None:
    assert "flag --redis: Redis pub/sub ignores database numbers" in machine.refusal(redis=url)
    assert "ignores" in machine.refusal(redis=url, namespace="year4000.pycloud")
    assert machine.load(redis=url, namespace="other").redis == url


def test_run_as(machine: Machine, root_machine: Machine) -> None:
    assert machine.refusal(run_as="root") == "flag --run-as: only root can run scripts as another user"
    assert root_machine.refusal(run_as="no-such-user") == "flag --run-as: the user no-such-user does not exist"
    assert root_machine.load(run_as="nobody").run_as == "nobody"


def test_repr_shows_no_password(machine: Machine) -> None:
    assert "secret" not in repr(machine.load(redis="redis://:secret@h"))


def test_a_requester_reads_two_settings_and_minds_no_others(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write(machine.system_file, 'redis = "redis://h"\nrun_as = "no such user"\nheartbeat = "often"\n')
    host = Host(1000, "box", machine.environ, machine.home, machine.system_file)
    assert load_target({}, host) == ("redis://h", "year4000.pycloud")
    assert load_target({"redis": "redis://i", "namespace": "mine"}, host) == ("redis://i", "mine")
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert load_target({}, host)[0] == "redis://localhost:6379/0", "a file that it may not read is not for it"
    with pytest.raises(ConfigError, match=r"^flag --config: the file /no/such/file\.toml does not exist$"):
        load_target({}, host, config_file="/no/such/file.toml")


def test_a_requester_ignores_the_table_of_a_plugin_and_rejects_a_misspelt_one(machine: Machine) -> None:
    host = Host(1000, "box", machine.environ, machine.home, machine.system_file)
    machine.write(machine.system_file, 'redis = "redis://h"\n[firecracker]\nkernel = "/boot/vmlinux"\n')
    assert load_target({}, host) == ("redis://h", "year4000.pycloud")
    machine.write(machine.system_file, '[redis_]\nurl = "redis://h"\n')
    with pytest.raises(ConfigError, match=r"unknown key redis_, did you mean redis\?$"):
        load_target({}, host)
