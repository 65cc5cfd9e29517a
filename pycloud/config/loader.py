"""Sources of settings: flags override the environment, that overrides files, those override defaults.

Every invalid setting raises ConfigError with one line: source, key, reason. Facts about user and host are passed in as
``Host``, so that a test can simulate any of them.
"""

from __future__ import annotations

import argparse
import difflib
import os
import pwd
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycloud.config.plugins import installed
from pycloud.config.settings import DEFAULT_REDIS, FROM_DEFAULT, Config, Setting, settings
from pycloud.config.types import read
from pycloud.errors import ConfigError
from pycloud.protocol.keys import DEFAULT_NAMESPACE
from pycloud.transport.url import check_database

SYSTEM_FILE = Path("/etc/pycloud/pycloud.toml")


@dataclass(frozen=True)
class Host:
    """The user and machine on which defaults depend. An empty environment variable counts as not set."""

    uid: int
    name: str
    environ: Mapping[str, str]
    home: Path
    system_file: Path = SYSTEM_FILE

    @classmethod
    def current(cls) -> Host:
        """This process' user and machine."""
        try:
            home = Path.home()
        except RuntimeError:  # a user id without a name, as containers may have
            home = Path("/")
        return cls(os.geteuid(), os.uname().nodename, dict(os.environ), home)

    def directory(self, variable: str, fallback: Path) -> Path:
        """The directory named by an XDG variable; a relative path is ignored, as the XDG specification requires."""
        named = Path(self.environ.get(variable, ""))
        return named if named.is_absolute() else fallback


@dataclass(frozen=True)
class RawSetting:
    """One value from a source. ``source`` is its entry in ``Config.sources``, ``location`` the prefix of an error."""

    setting: Setting
    source: str
    location: str
    value: object
    is_text: bool

    def read(self) -> object:
        """The checked value. Raises ConfigError where it is invalid."""
        try:
            return read(self.setting.kind, self.value, is_text=self.is_text)
        except ValueError as error:
            raise ConfigError(f"{self.location}: {error}") from None


def add_flags(parser: argparse._ActionsContainer) -> None:
    """Add one flag per setting. The values stay text, which ``load`` reads like that of every other source."""
    for item in settings().values():
        text = f"{item.help} (default: {item.default_text}; variable {item.variable})".replace("%", "%%")
        if not item.is_switch:
            parser.add_argument(item.flag, dest=item.name, metavar=item.placeholder, help=text)
            continue
        parser.add_argument(item.flag, dest=item.name, action="store_const", const="true", help=text)
        off = item.flag.replace("--", "--no-", 1)
        parser.add_argument(off, dest=item.name, action="store_const", const="false", help=argparse.SUPPRESS)


def load(flags: Mapping[str, Any], host: Host, *, config_file: str | None = None, daemon: bool = False) -> Config:
    """The complete configuration.

    ``flags`` maps names of settings to text (None: not given). ``config_file`` is the argument of ``--config``.
    ``daemon``: the process will detach, and so needs a log file. Raises ConfigError.
    """
    files = settings_files(host, config_file)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for raw in iter_raw_settings(files, host.environ, flags):
        values[raw.setting.name] = raw.read()
        sources[raw.setting.name] = raw.source
    _add_defaults(values, host, daemon)
    tables = _plugin_tables(files, sources)
    config = Config(
        **values, tables=tables, files=tuple(files), sources={**dict.fromkeys(settings(), FROM_DEFAULT), **sources}
    )
    _validate_combinations(config, host)
    return config


def load_target(flags: Mapping[str, Any], host: Host, *, config_file: str | None = None) -> tuple[str, str]:
    """Redis URL and namespace, for a requester: the daemon's other settings are not read. Raises ConfigError."""
    values = {"redis": DEFAULT_REDIS, "namespace": DEFAULT_NAMESPACE}
    files = settings_files(host, config_file, readable_only=True)
    for raw in iter_raw_settings(files, host.environ, flags):
        if raw.setting.name in values:
            values[raw.setting.name] = str(raw.read())
    return values["redis"], values["namespace"]


def suggestion(word: str, known: list[str]) -> str:
    """``, did you mean X?`` or an empty text: to be appended to a message about the unknown ``word``."""
    close = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {close[0]}?" if close else ""


def settings_files(host: Host, named: str | None, *, readable_only: bool = False) -> dict[Path, dict[str, Any]]:
    """The contents of the settings files, the one with the highest precedence last.

    A file that was named must exist, the default ones need not. ``readable_only``: skip default files that this user
    may not read (a daemon's file may hold a password).
    """
    variable = host.environ.get("PYCLOUD_CONFIG")
    explicit = named or variable
    if explicit:
        content = _read_toml(Path(explicit).expanduser().absolute())
        if content is None:
            origin = "flag --config" if named else "variable PYCLOUD_CONFIG"
            raise ConfigError(f"{origin}: the file {explicit} does not exist")
        return {Path(explicit).expanduser().absolute(): content}
    own = host.directory("XDG_CONFIG_HOME", host.home / ".config") / "pycloud" / "pycloud.toml"
    usual = [file for file in (host.system_file, own) if not readable_only or os.access(file, os.R_OK)]
    found = {file: _read_toml(file) for file in usual}
    return {file: content for file, content in found.items() if content is not None}


def _read_toml(file: Path) -> dict[str, Any] | None:
    """The file's keys, or None where it does not exist. Raises ConfigError."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"file {file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"file {file}: cannot be read: it is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"file {file}: is not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"file {file}: is nested too deeply") from None


def iter_raw_settings(
    files: Mapping[Path, Mapping[str, Any]], environ: Mapping[str, str], flags: Mapping[str, Any]
) -> Iterator[RawSetting]:
    """Every value that was given, the one with the highest precedence last. Raises ConfigError for an unknown key."""
    known = settings()
    known_keys = {item.key: item for item in known.values()}
    for file, content in files.items():
        for key, value in _flatten(file, content).items():
            if key in known_keys:
                yield RawSetting(known_keys[key], f"file {file}", f"file {file}: {key}", value, is_text=False)
            elif key not in content or not isinstance(value, dict) or _is_misspelt_table(key):
                raise _unknown_key(file, key)  # any other table may be that of a plugin, see _plugin_tables
    for item in known.values():
        if text := environ.get(item.variable):
            yield RawSetting(item, f"variable {item.variable}", f"variable {item.variable}", text, is_text=True)
    for item in known.values():
        if (text := flags.get(item.name)) is not None:
            yield RawSetting(item, f"flag {item.flag}", f"flag {item.flag}", text, is_text=True)


def _plugin_tables(files: Mapping[Path, Mapping[str, Any]], sources: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The tables of runtimes that are installed plugins, by name; their sources are added to ``sources``.

    Raises ConfigError for any other table that is no setting.
    """
    tables: dict[str, dict[str, Any]] = {}
    known_keys = {"docker", *(item.key for item in settings().values())}
    for file, content in files.items():
        for name in content.keys() - known_keys:
            if name not in installed():
                raise _unknown_key(file, name)
            tables[name] = {**tables.get(name, {}), **content[name]}
            sources[name] = f"file {file}"
    return tables


def _is_misspelt_table(name: str) -> bool:
    """Whether a table is rather misspelt than that of a plugin, which a requester's host need not have installed."""
    return bool(suggestion(name, ["docker", *settings()])) and name not in installed()


def _unknown_key(file: Path, key: str) -> ConfigError:
    known = ["docker", *(item.key for item in settings().values())]
    return ConfigError(f"file {file}: unknown key {key}{suggestion(key, known)}")


def _flatten(file: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """A file's keys; those in its table ``docker`` have that name as prefix, as in ``docker.allow``."""
    inner = content.get("docker", {})
    if not isinstance(inner, dict):
        raise ConfigError(f"file {file}: docker: must be a table")
    outer = {key: value for key, value in content.items() if key != "docker"}
    return {**outer, **{f"docker.{key}": value for key, value in inner.items()}}


def _add_defaults(values: dict[str, Any], host: Host, daemon: bool) -> None:
    """Fill in the defaults that depend on user, host and each other."""
    values.setdefault("hostname", host.name)
    own_data = "data_dir" in values
    state = host.directory("XDG_STATE_HOME", host.home / ".local" / "state")
    data = values.setdefault("data_dir", Path("/var/lib/pycloud") if host.uid == 0 else state / "pycloud")
    if own_data:
        # Two nodes on one host have different data directories, so their pid files differ too.
        run = data / "run"
    elif host.uid == 0:
        run = Path("/run/pycloud")
    else:
        runtime = host.directory("XDG_RUNTIME_DIR", data)
        run = data / "run" if runtime == data else runtime / "pycloud"
    values.setdefault("run_dir", run)
    if daemon:
        values.setdefault("log_file", data / "pycloud.log")


def _validate_combinations(config: Config, host: Host) -> None:
    """Raise ConfigError where settings contradict each other, the user or the host."""
    try:
        check_database(config.redis, config.namespace)
    except ValueError as error:
        raise ConfigError(f"{_location(config, 'redis')}: {error}") from None
    if config.run_as is None:
        return
    if host.uid != 0:
        raise ConfigError(f"{_location(config, 'run_as')}: only root can run scripts as another user")
    try:
        pwd.getpwnam(config.run_as)
    except KeyError:
        raise ConfigError(f"{_location(config, 'run_as')}: the user {config.run_as} does not exist") from None


def _location(config: Config, name: str) -> str:
    source = config.sources[name]
    return f"{source}: {name}" if source.startswith("file ") else source
