"""Detects the environment of this process: container or host, with a usable container engine or without."""

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
#: Files that engines create in their containers.
CONTAINER_MARKER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))


def resolve_auto(config: Config) -> Config:
    """The settings with ``runtime`` and ``docker_host`` resolved: neither is ``auto`` or None."""
    engine = config.docker_host or _engine_from_environ(os.environ) or DEFAULT_ENGINE
    # Recorded container sessions are supervised, whether or not their engine is available at present.
    runtimes = enabled_runtimes(config, in_container(), engine_usable(engine) or bool(count_container_records(config)))
    return dataclasses.replace(config, runtime=runtimes, docker_host=engine)


def count_container_records(config: Config) -> int:
    """How many container sessions are recorded in the data directory."""
    return sum(1 for _ in (config.data_dir / "docker").glob("*.json"))


def startup_warnings(config: Config) -> list[str]:
    """Warnings to log at the start. ``config`` is resolved (``resolve_auto``)."""
    if "docker" in config.runtime or not count_container_records(config):
        return []
    return [
        f"{count_container_records(config)} container sessions are recorded in {config.data_dir}, "
        "but this daemon does not supervise them; start it with --runtime script,docker"
    ]


def containers_disabled_reason(config: Config) -> str:
    """Why a node with the default ``runtime`` runs no containers; empty where it runs them or the setting was set."""
    if "docker" in config.runtime or config.was_set("runtime"):
        return ""
    return f"no containers: {engine_problem(str(config.docker_host))}"


def engine_problem(engine: str) -> str | None:
    """Why this process cannot use the socket of an engine; None: it can, or the engine is on the network."""
    path = Path(engine.partition("://")[2])
    if engine_usable(engine):
        return None
    return f"{path} is not accessible to user {os.geteuid()}" if path.exists() else f"{path} does not exist"


def _engine_from_environ(environ: Mapping[str, str]) -> str:
    """The engine in DOCKER_HOST; empty where that is not set. Raises ConfigError."""
    url = environ.get("DOCKER_HOST", "")
    try:
        return engine_url(url) if url else ""
    except ValueError as error:
        raise ConfigError(f"variable DOCKER_HOST: {error}") from None


def in_container() -> bool:
    """Whether this process is in a container."""
    return any(mark.exists() for mark in CONTAINER_MARKER_FILES)


def drives_engine(config: Config) -> bool:
    """Whether this process is in a container in order to drive the host's engine. ``config`` is resolved."""
    return in_container() and "docker" in config.runtime


def socket_permission_error(config: Config) -> str | None:
    """An error text for a container that has the engine's socket but may not use it; None otherwise.

    Without this check such a container would run scripts, or nothing at all, without a message.
    """
    scheme, _, path = str(config.docker_host).partition("://")
    wanted = "docker" in config.runtime or not config.was_set("runtime")
    if scheme != "unix" or not in_container() or not wanted or engine_usable(str(config.docker_host)):
        return None
    try:
        group = Path(path).stat().st_gid
    except OSError:
        return None
    return f"{path} is not accessible to user {os.geteuid()}: start this container with --group-add {group}"


def has_container_hostname(config: Config) -> bool:
    """Whether the host name is a container id, as engines assign it, and so does not identify the host.

    A container with an explicit name (``docker run --hostname``) or its host's name keeps that.
    """
    given = config.was_set("hostname") or not CONTAINER_ID.fullmatch(config.hostname)
    return drives_engine(config) and not given


def engine_usable(engine: str) -> bool:
    """Whether an engine's socket exists and this user may use it; True for one on the network, which is not checked."""
    scheme, _, path = engine.partition("://")
    if scheme != "unix":
        return True
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode) and os.access(path, os.R_OK | os.W_OK)
    except OSError:
        return False
