"""Every setting of the daemon, each described once.

``Config`` is the single list: its fields carry type, default, value type and help; the flags, the environment
variables, the keys of files and ``--help`` are all derived from them. Sources are read in ``loader``. To add a setting,
add a field here; no other module needs a change. Pure: no I/O, no gevent, no Redis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pycloud.config import types
from pycloud.protocol.container_spec import RUNTIME_NAMES
from pycloud.protocol.keys import DEFAULT_NAMESPACE

DEFAULT_REDIS = "redis://localhost:6379/0"
#: The entry in ``Config.sources`` of a setting that was not set.
FROM_DEFAULT = "default"


@dataclass(frozen=True)
class SettingInfo:
    """Metadata of a field of Config. ``default_text`` describes the default where the field's own value cannot."""

    value_type: types.ValueType
    help: str
    default_text: str | None = None


@dataclass(frozen=True)
class Setting:
    """One setting, ready for a command line or a file."""

    name: str
    value_type: types.ValueType
    help: str
    default_text: str

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
    redis: Annotated[str, SettingInfo(types.redis_url(), "the Redis to use: redis://, rediss:// or unix://")] = field(
        default=DEFAULT_REDIS, repr=False
    )
    namespace: Annotated[str, SettingInfo(types.text("NAME", forbidden="{}"), "prefix of all channels and keys")] = (
        DEFAULT_NAMESPACE
    )
    data_dir: Annotated[
        Path,
        SettingInfo(
            types.path("DIR"),
            "sessions, cloud id, logs",
            "/var/lib/pycloud as root, else pycloud in the XDG state directory, ~/.local/state",
        ),
    ]
    run_dir: Annotated[
        Path,
        SettingInfo(
            types.path("DIR"),
            "pid file",
            "/run/pycloud as root, else pycloud in the XDG runtime directory; in the data directory when that was set",
        ),
    ]
    log_file: Annotated[
        Path | None,
        SettingInfo(
            types.path("FILE"), "where to log", "standard error; with --daemon pycloud.log in the data directory"
        ),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        SettingInfo(types.choice("debug", "info", "warning", "error"), "the least severe messages to log"),
    ] = "info"
    hostname: Annotated[
        str, SettingInfo(types.text("NAME"), "what requesters are told to connect to", "this machine's name")
    ]
    runtime: Annotated[
        tuple[str, ...],
        SettingInfo(
            types.runtimes(RUNTIME_NAMES),
            "what sessions may be, as in script,docker; auto: scripts, and containers where the engine's socket can be "
            "used; only containers where PyCloud itself is in one that was given the socket",
            "auto",
        ),
    ] = ("auto",)
    max_script_bytes: Annotated[int, SettingInfo(types.integer("BYTES", 1, 16 << 20), "refuse larger scripts")] = (
        1 << 20
    )
    stop_grace: Annotated[
        float, SettingInfo(types.seconds(0, 3600), "time that a session has between SIGTERM and SIGKILL")
    ] = 10.0
    port_range: Annotated[
        tuple[int, int] | None, SettingInfo(types.port_range(), "ports given to sessions", "the system's choice")
    ] = None
    run_as: Annotated[
        str | None, SettingInfo(types.text("USER"), "user that scripts run as, when the daemon is root", "the daemon's")
    ] = None
    session_env: Annotated[
        tuple[str, ...],
        SettingInfo(
            types.variable_names(),
            "what scripts inherit beside PATH, HOME, LANG, LC_*, TZ and USER, separated by commas",
            "nothing",
        ),
    ] = ()
    embedded_redis: Annotated[bool, SettingInfo(types.boolean(), "start a private Redis", "no")] = False
    heartbeat: Annotated[float, SettingInfo(types.seconds(0.1, 60), "time between two ranks of this cloud")] = 1.0
    capacity: Annotated[
        int | None, SettingInfo(types.integer("COUNT", 0, 1_000_000), "most sessions that this cloud takes", "no limit")
    ] = None
    labels: Annotated[
        tuple[tuple[str, str], ...],
        SettingInfo(types.labels(), "what a create may ask for (where), as in region=eu,disk=ssd", "none"),
    ] = ()
    draining: Annotated[bool, SettingInfo(types.boolean(), "take no new sessions", "no")] = False
    session_weight: Annotated[
        float, SettingInfo(types.number("NUMBER", "number", 0, 1000), "what each session adds to this cloud's score")
    ] = 1.0
    load_weight: Annotated[
        float,
        SettingInfo(types.number("NUMBER", "number", 0, 1000), "what each percent of CPU and memory adds to its score"),
    ] = 1.0
    lost_after: Annotated[
        float, SettingInfo(types.seconds(1, 86400), "silence after which another cloud's sessions count as lost")
    ] = 30.0
    remember: Annotated[
        float, SettingInfo(types.seconds(0, 366 * 86400), "how long an ended session is remembered")
    ] = 3600.0
    log_bytes: Annotated[
        int, SettingInfo(types.integer("BYTES", 4096, 1 << 40), "newest output kept of each session")
    ] = 10 << 20
    on_stop: Annotated[
        Literal["keep", "remove"],
        SettingInfo(types.choice("keep", "remove"), "what becomes of sessions when the daemon stops"),
    ] = "keep"
    docker_host: Annotated[
        str | None,
        SettingInfo(
            types.engine_url(),
            "the container engine, as in tcp://127.0.0.1:2375",
            "DOCKER_HOST, or unix:///var/run/docker.sock",
        ),
    ] = None
    docker_allow: Annotated[
        tuple[str, ...],
        SettingInfo(
            types.words("OPTIONS"), "closed container options to open for requests, separated by commas", "none"
        ),
    ] = ()
    docker_volumes: Annotated[
        tuple[str, ...],
        SettingInfo(
            types.words("PATHS"),
            "host paths and volumes that sessions may mount, separated by commas; with :ro only to read",
            "none of them",
        ),
    ] = ()
    docker_images: Annotated[
        tuple[str, ...],
        SettingInfo(types.words("PATTERNS"), "images that sessions may use, as in year4000/*,nginx", "any"),
    ] = ()
    docker_defaults: Annotated[
        Mapping[str, Any],
        SettingInfo(types.table("JSON"), "container options that every session gets unless it says otherwise", "none"),
    ] = field(default_factory=dict)
    docker_network: Annotated[
        str | None, SettingInfo(types.text("NAME"), "network that containers join", "the engine's default")
    ] = None
    docker_pull: Annotated[
        Literal["missing", "always", "never"],
        SettingInfo(types.choice("missing", "always", "never"), "when images are pulled"),
    ] = "missing"
    docker_parallel: Annotated[
        int, SettingInfo(types.integer("COUNT", 1, 1000), "how many containers are started side by side")
    ] = 8
    docker_timeout: Annotated[
        float, SettingInfo(types.seconds(1, 3600), "how long the container engine may take for one call")
    ] = 60.0
    start_timeout: Annotated[
        float, SettingInfo(types.seconds(0.1, 3600), "how long --daemon waits until the cloud is ready")
    ] = 30.0

    #: The source of each setting: "flag --redis", "variable PYCLOUD_REDIS_URL", "file /etc/...", or FROM_DEFAULT.
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


def settings() -> dict[str, Setting]:
    """All settings by name, in the order in which ``--help`` lists them."""
    found = {}
    hints = get_type_hints(Config, include_extras=True)
    for item in dataclasses.fields(Config):
        for info in getattr(hints[item.name], "__metadata__", ()):
            default_text = str(item.default) if info.default_text is None else info.default_text
            found[item.name] = Setting(item.name, info.value_type, info.help, default_text)
    return found


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
