"""What this process runs in: a container or a host, with a container engine or without."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from pycloud.config import Config, enabled_runtimes
from pycloud.config.types import engine_url
from pycloud.errors import ConfigError

DEFAULT_ENGINE = "unix:///var/run/docker.sock"
CONTAINER_ID = re.compile(r"[0-9a-f]{12}")
#: Files that engines put into their containers.
CONTAINER_MARKER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))


def resolve_auto(config: Config) -> Config:
    """The same settings with ``runtime`` and ``docker_host`` settled: no ``auto``, and no None, is left in them."""
    engine = config.docker_host or _engine_from_environ(os.environ) or DEFAULT_ENGINE
    # Where there are container sessions, they are looked after, whether or not their engine is there just now.
    runtimes = enabled_runtimes(config, in_container(), engine_usable(engine) or bool(count_container_records(config)))
    return dataclasses.replace(config, runtime=runtimes, docker_host=engine)


def count_container_records(config: Config) -> int:
    """How many container sessions have their records in the data directory."""
    return sum(1 for _ in (config.data_dir / "docker").glob("*.json"))


def startup_warnings(config: Config) -> list[str]:
    """What is worth a warning at the start. ``config`` is settled."""
    if "docker" in config.runtime or not count_container_records(config):
        return []
    return [
        f"{count_container_records(config)} container sessions are recorded in {config.data_dir}, "
        "and this daemon does not look after them: that takes --runtime script,docker"
    ]


def containers_disabled_reason(config: Config) -> str:
    """Why a cloud that was left the choice (``auto``) runs no containers; empty where it was not, or does."""
    if "docker" in config.runtime or config.was_set("runtime"):
        return ""
    path = str(config.docker_host).partition("://")[2]
    if not Path(path).exists():
        return f"no containers: there is no {path}"
    return f"no containers: {path} may not be used by user {os.geteuid()}"


def _engine_from_environ(environ: Mapping[str, str]) -> str:
    """The engine in DOCKER_HOST; empty where there is none. Raises ConfigError."""
    url = environ.get("DOCKER_HOST", "")
    try:
        return str(engine_url().read(url)) if url else ""
    except ValueError as error:
        raise ConfigError(f"variable DOCKER_HOST: {error}") from None


def in_container() -> bool:
    """Whether this process is in a container."""
    return any(mark.exists() for mark in CONTAINER_MARKER_FILES)


def drives_engine(config: Config) -> bool:
    """Whether this is a container that was put there to drive the host's engine. ``config`` is settled."""
    return in_container() and "docker" in config.runtime


def socket_permission_error(config: Config) -> str | None:
    """What is missing in a container that was given the engine's socket but may not use it; None: nothing is.

    Without it such a container would run scripts, or nothing at all, and nobody would be told why.
    """
    scheme, _, path = str(config.docker_host).partition("://")
    wanted = "docker" in config.runtime or not config.was_set("runtime")
    if scheme != "unix" or not in_container() or not wanted or engine_usable(str(config.docker_host)):
        return None
    try:
        group = Path(path).stat().st_gid
    except OSError:
        return None
    return f"{path} may not be used by user {os.geteuid()}: start this container with --group-add {group}"


def has_container_hostname(config: Config) -> bool:
    """Whether the name of this machine tells nobody where it is: engines name containers after their ids.

    One that was given a name (``docker run --hostname``), or its host's, is taken at its word.
    """
    given = config.was_set("hostname") or not CONTAINER_ID.fullmatch(config.hostname)
    return drives_engine(config) and not given


def engine_usable(engine: str) -> bool:
    """Whether an engine's socket is there, and this user may use it; of one over a network nobody knows, so: yes."""
    scheme, _, path = engine.partition("://")
    if scheme != "unix":
        return True
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode) and os.access(path, os.R_OK | os.W_OK)
    except OSError:
        return False
