"""Every setting of the daemon, each described once.

``Config`` is the single list: its fields carry type, limits, default and help; the flags, the environment
variables, the keys of files and ``--help`` are all derived from them. Sources are read in ``loader``. To add a setting,
add a field here; no other module needs a change. Pure: no I/O, no gevent, no Redis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from pycloud.config import types
from pycloud.errors import ConfigError
from pycloud.protocol.container_spec import RUNTIME_NAMES
from pycloud.protocol.keys import DEFAULT_NAMESPACE

DEFAULT_REDIS = "redis://localhost:6379/0"
#: The entry in ``Config.sources`` of a setting that was not set.
FROM_DEFAULT = "default"

T = TypeVar("T")


@dataclass(frozen=True)
class Info:
    """Metadata of a field of Config. ``placeholder`` stands for the value in ``--help``, where its type does not say.

    ``default_text`` describes the default where the field's own value cannot.
    """

    help: str
    placeholder: str = ""
    default_text: str | None = None


@dataclass(frozen=True)
class Setting:
    """One setting, ready for a command line or a file. ``kind``: its annotated type, None as a value left out."""

    name: str
    kind: Any
    placeholder: str
    help: str
    default_text: str

    @property
    def is_switch(self) -> bool:
        """Whether its flag has no value."""
        return self.kind.__origin__ is bool

    @property
    def flag(self) -> str:
        """Its flag on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def key(self) -> str:
        """Its key in a file; those of containers are in a table of their own."""
        return self.name.replace("docker_", "docker.", 1)

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "PYCLOUD_REDIS_URL" if self.name == "redis" else "PYCLOUD_" + self.name.upper()


@dataclass(frozen=True, kw_only=True)
class Config:
    """The daemon's settings, complete and checked. Sizes are bytes, times seconds, paths absolute."""

    # Not in repr: it may hold a password, and a repr may end up in logs.
    redis: Annotated[str, types.REDIS_URL, Info("Redis URL: redis://, rediss:// or unix://", "URL")] = field(
        default=DEFAULT_REDIS, repr=False
    )
    namespace: Annotated[str, types.NAMESPACE, Info("prefix of all channels and keys", "NAME")] = DEFAULT_NAMESPACE
    data_dir: Annotated[
        Path,
        types.PATH,
        Info(
            "directory of the sessions, the node id and the logs",
            "DIR",
            "/var/lib/pycloud as root, else pycloud in the XDG state directory, ~/.local/state",
        ),
    ]
    run_dir: Annotated[
        Path,
        types.PATH,
        Info(
            "directory of the pid file",
            "DIR",
            "/run/pycloud as root, else pycloud in the XDG runtime directory; in the data directory when that was set",
        ),
    ]
    log_file: Annotated[
        Path | None,
        types.PATH,
        Info("log file", "FILE", "standard error; with --daemon pycloud.log in the data directory"),
    ] = None
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Info("least severe level to log")] = "info"
    hostname: Annotated[
        str, types.WORD, Info("host name that responses give to requesters", "NAME", "this machine's name")
    ]
    runtime: Annotated[
        tuple[str, ...],
        types.RUNTIMES,
        Info(
            "runtimes of sessions, as in script,docker; auto: scripts, and containers if the engine's socket is "
            "usable; containers only, if PyCloud itself runs in a container that has the socket",
            "|".join(("auto", *RUNTIME_NAMES)),
            "auto",
        ),
    ] = ("auto",)
    max_script_bytes: Annotated[int, types.size(1, 16 << 20), Info("largest accepted script, in bytes")] = 1 << 20
    stop_grace: Annotated[
        float, types.seconds(0, 3600), Info("seconds between SIGTERM and SIGKILL when a session is stopped")
    ] = 10.0
    port_range: Annotated[
        tuple[int, int] | None, types.PORT_RANGE, Info("ports assigned to sessions", "LOW-HIGH", "the system's choice")
    ] = None
    run_as: Annotated[
        str | None, types.WORD, Info("user that scripts run as, when the daemon is root", "USER", "the daemon's")
    ] = None
    session_env: Annotated[
        types.VariableNames,
        Info(
            "variables that scripts inherit besides PATH, HOME, LANG, LC_*, TZ and USER, separated by commas",
            "NAMES",
            "nothing",
        ),
    ] = ()
    embedded_redis: Annotated[types.Switch, Info("start a private Redis", "", "no")] = False
    heartbeat: Annotated[float, types.seconds(0.1, 60), Info("seconds between two heartbeats of this node")] = 1.0
    capacity: Annotated[
        int | None, types.count(0, 1_000_000), Info("maximum number of sessions of this node", "", "no limit")
    ] = None
    labels: Annotated[
        tuple[tuple[str, str], ...],
        types.LABELS,
        Info("labels that a create may require (where), as in region=eu,disk=ssd", "NAME=VALUE,...", "none"),
    ] = ()
    draining: Annotated[types.Switch, Info("accept no new sessions", "", "no")] = False
    session_weight: Annotated[float, types.factor(0, 1000), Info("load score that each session adds")] = 1.0
    load_weight: Annotated[
        float, types.factor(0, 1000), Info("load score that each percent of CPU and memory adds")
    ] = 1.0
    lost_after: Annotated[
        float, types.seconds(1, 86400), Info("seconds without a heartbeat after which the sessions of a node are lost")
    ] = 30.0
    remember: Annotated[
        float, types.seconds(0, 366 * 86400), Info("seconds for which an ended session stays on record")
    ] = 3600.0
    log_bytes: Annotated[int, types.size(4096, 1 << 40), Info("bytes of the newest output to keep of each session")] = (
        10 << 20
    )
    on_stop: Annotated[Literal["keep", "remove"], Info("keep or remove the sessions when the daemon stops")] = "keep"
    docker_host: Annotated[
        str | None,
        types.ENGINE_URL,
        Info(
            "URL of the container engine, as in tcp://127.0.0.1:2375",
            "URL",
            "DOCKER_HOST, or unix:///var/run/docker.sock",
        ),
    ] = None
    docker_allow: Annotated[
        types.Words, Info("restricted container options to allow in requests, separated by commas", "OPTIONS", "none")
    ] = ()
    docker_volumes: Annotated[
        types.Words,
        Info(
            "host paths and volumes that sessions may mount, separated by commas; with :ro read-only",
            "PATHS",
            "none of them",
        ),
    ] = ()
    docker_images: Annotated[
        types.Words, Info("images that sessions may use, as in year4000/*,nginx", "PATTERNS", "any")
    ] = ()
    docker_defaults: Annotated[types.Table, Info("default container options of sessions", "JSON", "none")] = field(
        default_factory=dict
    )
    docker_network: Annotated[
        str | None, types.WORD, Info("network that containers join", "NAME", "the engine's default")
    ] = None
    docker_pull: Annotated[Literal["missing", "always", "never"], Info("when images are pulled")] = "missing"
    docker_parallel: Annotated[
        int, types.count(1, 1000), Info("maximum number of containers that start at the same time")
    ] = 8
    docker_timeout: Annotated[
        float, types.seconds(1, 3600), Info("seconds that one call of the container engine may take")
    ] = 60.0
    start_timeout: Annotated[
        float, types.seconds(0.1, 3600), Info("seconds that --daemon waits for the node to be ready")
    ] = 30.0

    #: The tables of files that hold the settings of plugins, by runtime. Not in repr, as ``redis``.
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    #: The source of each setting and table: "flag --redis", "variable PYCLOUD_REDIS_URL", "file /...", FROM_DEFAULT.
    sources: Mapping[str, str] = field(default_factory=dict)
    #: The files that were read; later ones override earlier ones.
    files: tuple[Path, ...] = ()

    @property
    def pid_file(self) -> Path:
        """The pid file, locked during the lifetime of the daemon."""
        return self.run_dir / "pycloud.pid"

    @property
    def lock_file(self) -> Path:
        """The lock file, locked while a daemon uses the data directory."""
        return self.data_dir / "lock"

    def was_set(self, name: str) -> bool:
        """Whether a source set this setting, even to its default."""
        return self.sources.get(name, FROM_DEFAULT) != FROM_DEFAULT

    def table(self, runtime: str, kind: type[T]) -> T:
        """The settings of a runtime that is a plugin: its table, as the msgspec type ``kind``. Raises ConfigError."""
        try:
            return msgspec.convert(self.tables.get(runtime, {}), kind)
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `$")
            source = self.sources.get(runtime, FROM_DEFAULT)
            raise ConfigError(f"{source}: {runtime}{path.rstrip('`')}: {reason}") from None


def settings() -> dict[str, Setting]:
    """All settings by name, in the order in which ``--help`` lists them."""
    hints = get_type_hints(Config, include_extras=True)
    declared = ((item, hints[item.name]) for item in dataclasses.fields(Config))
    return {item.name: _setting(item, hint) for item, hint in declared if get_origin(hint) is Annotated}


def _setting(item: dataclasses.Field[Any], hint: Any) -> Setting:
    """The setting that a field declares."""
    info: Info = hint.__metadata__[-1]
    base = next(
        (each for each in get_args(hint.__origin__) if get_origin(hint.__origin__) is UnionType), hint.__origin__
    )
    default_text = str(item.default) if info.default_text is None else info.default_text
    titles = [str(each.title) for each in hint.__metadata__ if isinstance(each, msgspec.Meta) and each.title]
    placeholder = info.placeholder or "".join(titles) or "|".join(map(str, get_args(base)))
    return Setting(item.name, Annotated[base, *hint.__metadata__], placeholder, info.help, default_text)


def enabled_runtimes(config: Config, in_container: bool, socket_usable: bool) -> tuple[str, ...]:
    """The runtimes of RUNTIME_NAMES that the setting ``runtime`` enables here, the preferred one first.

    ``socket_usable``: whether the engine's socket exists and may be used. A container that has it is meant to drive the
    engine; a script session in the container would end with it.
    """
    if config.runtime != ("auto",):
        return config.runtime
    if not socket_usable:
        return ("script",)
    return ("docker",) if in_container else RUNTIME_NAMES
