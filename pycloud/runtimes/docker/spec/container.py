"""Converts requests into configurations of containers, and the engine's view of these into started and exit. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pycloud.errors import BadRequest
from pycloud.protocol.container_spec import ContainerSpec
from pycloud.runtimes.base import Exit, SessionSpec, Started
from pycloud.runtimes.docker.spec.options import (
    LABEL_PREFIX,
    MAX_ENVIRONMENT_BYTES,
    validate_environment,
    validate_options,
)
from pycloud.runtimes.docker.spec.policy import Policy

CONTAINER_NAME_PREFIX = "pycloud_"
NODE_LABEL, SESSION_ID_LABEL, REQUEST_LABEL, PORT_LABEL, RECORD_LABEL = (
    LABEL_PREFIX + name for name in ("cloud", "session", "request", "port", "record")
)
#: Labels for people and for filters: the session's name, and its labels below a prefix. These are never read.
SESSION_NAME_LABEL, SESSION_LABEL_PREFIX = LABEL_PREFIX + "name", LABEL_PREFIX + "label."

#: Options that are passed to the create call as they are; all others except DERIVED_OPTIONS go into its host config.
CREATE_OPTIONS = frozenset(
    (
        *("command", "entrypoint", "hostname", "domainname", "user", "working_dir", "healthcheck", "stop_signal"),
        *("tty", "stdin_open", "network_disabled", "mac_address", "platform", "use_config_proxy"),
    )
)
#: Options that are converted, below.
DERIVED_OPTIONS = frozenset(
    (
        *("port", "ports", "volumes", "mounts", "environment", "labels", "stop_grace"),
        *("network", "network_mode", "networking_config"),
    )
)
#: Options whose entries are merged with those of the defaults; the values of others replace the defaults.
MERGED_BY_KEY = frozenset(("environment", "labels", "tmpfs", "extra_hosts", "sysctls", "storage_opt", "ports"))
MERGED_BY_TARGET = frozenset(("volumes", "mounts"))
NETWORK_OPTIONS = ("network", "network_mode", "networking_config")

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True)
class ContainerConfig:
    """The configuration of a container. ``ports``: its ports that must be reachable, in order, as "80/tcp".

    ``kwargs``: of docker-py's ``APIClient.create_container`` without image and name; its ``host_config`` holds the
    keyword arguments of ``create_host_config`` (which requires the engine's version). ``stop_grace``: seconds, None:
    the node's setting.
    """

    image: str
    name: str
    kwargs: dict[str, Any]
    stop_grace: float | None
    ports: tuple[str, ...]


def build_container_config(
    image_script: ContainerSpec, spec: SessionSpec, policy: Policy, node: str, hostname: str, log_bytes: int
) -> ContainerConfig:
    """Return the configuration for ``spec``. Raises BadRequest, and NotAllowed where the policy forbids an option."""
    requested = validate_options(image_script.options)
    policy.check_image(image_script.image, image_script.as_written)
    options = merge_options(policy.defaults, policy.permitted(requested))
    bindings = {**dict.fromkeys(options.get("port", ())), **options.get("ports", {})}
    ports = tuple(bindings)
    network = options.get("network") or options.get("network_mode") or policy.network
    if ports:
        _check_reachable(network, options)
    first_port = ports[0] if ports else ""
    host_config = {name: value for name, value in options.items() if name not in CREATE_OPTIONS | DERIVED_OPTIONS}
    host_config |= _storage(options) | ({"port_bindings": bindings} if ports else {})
    host_config |= {"network_mode": network} if network else {}
    host_config.setdefault("log_config", _log_config(log_bytes))
    kwargs = {
        # Sessions need not know the proxies of the daemon's own user.
        "use_config_proxy": False,
        **{name: value for name, value in options.items() if name in CREATE_OPTIONS},
        "detach": True,
        "environment": _environment(options, spec, node, hostname, first_port),
        "labels": _labels(options, spec, node, first_port),
        "ports": [tuple(port.split("/")) for port in ports],
        "volumes": [volume.target for volume in options.get("volumes", ()) if volume.source is None],
        "host_config": host_config,
    }
    if "networking_config" in options and network == options.get("network"):
        kwargs["networking_config"] = {"EndpointsConfig": options["networking_config"]}
    grace = options.get("stop_grace")
    if grace is not None:
        kwargs["stop_timeout"] = math.ceil(grace)
    return ContainerConfig(image_script.image, CONTAINER_NAME_PREFIX + spec.session, kwargs, grace, ports)


def merge_options(defaults: Mapping[str, Any], requested: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``requested`` over ``defaults``, both in canonical form."""
    result = dict(defaults)
    if any(name in requested for name in NETWORK_OPTIONS):
        result = {name: value for name, value in result.items() if name not in NETWORK_OPTIONS}
    for name, value in requested.items():
        if name in MERGED_BY_KEY and name in result:
            result[name] = {**result[name], **value}
        elif name in MERGED_BY_TARGET and name in result:
            targets = {mount.target for mount in value}
            result[name] = (*(mount for mount in result[name] if mount.target not in targets), *value)
        else:
            result[name] = value
    return result


def _check_reachable(network: str | None, options: Mapping[str, Any]) -> None:
    if options.get("network_disabled") or network == "none":
        raise BadRequest("`port` cannot be reached without a network")
    if network == "host" or (network or "").startswith("container:"):
        raise BadRequest(f"`port` cannot be mapped in the network {network}: leave it out")


def _storage(options: Mapping[str, Any]) -> dict[str, Any]:
    binds = [volume.bind() for volume in options.get("volumes", ()) if volume.source is not None]
    mounts = [mount.to_engine() for mount in options.get("mounts", ())]
    return {name: value for name, value in (("binds", binds), ("mounts", mounts)) if value}


def _log_config(log_bytes: int) -> dict[str, Any]:
    """Return a log config of two files, the older of which is deleted: retains at least ``log_bytes`` bytes."""
    return {"type": "json-file", "config": {"max-size": str(log_bytes), "max-file": "2"}}


def _environment(
    options: Mapping[str, Any], spec: SessionSpec, node: str, hostname: str, first_port: str
) -> dict[str, str | None]:
    """Return the environment. None removes a variable of the image; ``PYCLOUD_PORT`` is the port to listen on."""
    identity = {"PYCLOUD_SESSION": spec.session, "PYCLOUD_CLOUD": node, "PYCLOUD_HOSTNAME": hostname}
    port = {"PYCLOUD_PORT": first_port.partition("/")[0]} if first_port else {}
    environment = {**options.get("environment", {}), **spec.env, **identity, **port}
    try:
        validate_environment(environment)
    except ValueError as error:
        text = f"`environment` and `env`, with the variables of PyCloud, have more than {MAX_ENVIRONMENT_BYTES} bytes"
        raise BadRequest(text) from error
    return environment


def _labels(options: Mapping[str, Any], spec: SessionSpec, node: str, first_port: str) -> dict[str, str]:
    return {
        **options.get("labels", {}),
        NODE_LABEL: node,
        SESSION_ID_LABEL: spec.session,
        REQUEST_LABEL: str(spec.record.get("request", "")),
        PORT_LABEL: first_port,
        RECORD_LABEL: json.dumps(dict(spec.record)),
        **({SESSION_NAME_LABEL: str(name)} if (name := spec.record.get("name")) else {}),
        **{SESSION_LABEL_PREFIX + key: str(value) for key, value in spec.record.get("labels", {}).items()},
    }


def declared_ports(inspected: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the container's reachable ports: the first as in ContainerConfig, then the rest, sorted."""
    bound = sorted(_section(inspected, "HostConfig", "PortBindings"))
    first = _section(inspected, "Config", "Labels").get(PORT_LABEL)
    return tuple(sorted(bound, key=lambda port: port != first))


def ports_of(inspected: Mapping[str, Any], declared: Iterable[str]) -> tuple[int | None, dict[str, int]]:
    """Return the first port on the host, and the host's ports by those of ``declared`` that are mapped.

    A container that has ended has none. Where the ports for IPv4 and IPv6 differ, the one for IPv4 is used.
    """
    bound = _section(inspected, "NetworkSettings", "Ports")
    found = {port: number for port in declared if (number := _host_port(bound.get(port)))}
    return next(iter(found.values()), None), found


def started_of(inspected: Mapping[str, Any]) -> Started | None:
    """Return when the container was started, and its ports; None where it never was."""
    started = _seconds(_section(inspected, "State").get("StartedAt"))
    if started is None:
        return None
    port, ports = ports_of(inspected, declared_ports(inspected))
    return Started(port, started, ports)


def exit_of(inspected: Mapping[str, Any]) -> Exit | None:
    """Return the exit; None while it runs (or is paused), and where it was never started."""
    state = _section(inspected, "State")
    started = _seconds(state.get("StartedAt"))
    if started is None or state.get("Running") or state.get("Restarting") or state.get("Paused"):
        return None
    code = state.get("ExitCode")
    return Exit(code if isinstance(code, int) else None, _reason(state), _seconds(state.get("FinishedAt")) or started)


def _reason(state: Mapping[str, Any]) -> str | None:
    reasons = [str(state["Error"])] if state.get("Error") else []
    if state.get("OOMKilled"):
        # The first process may have outlived the killed one, and ended for a reason of its own.
        killed = state.get("ExitCode") == 137
        reasons.insert(0, "out of memory" if killed else "a process in it was killed: out of memory")
    return "; ".join(reasons) or None


def _section(inspected: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return a nested object; empty where the engine omits it or sends null."""
    found: Any = inspected
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _host_port(bindings: object) -> int | None:
    if not isinstance(bindings, list):
        return None
    usable = [each for each in bindings if isinstance(each, Mapping) and _NUMBER.fullmatch(str(each.get("HostPort")))]
    usable.sort(key=lambda each: ":" in str(each.get("HostIp", "")))
    return int(usable[0]["HostPort"]) or None if usable else None


def _seconds(time: object) -> float | None:
    """Convert RFC 3339 with up to nine digits of a second to Unix seconds; None for year 1, which is Go's zero time."""
    found = _TIME.fullmatch(time) if isinstance(time, str) else None
    if found is None or found[1].startswith("0001-"):
        return None
    try:
        whole = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00")).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    return whole + float(f"0.{found[2] or 0}")
