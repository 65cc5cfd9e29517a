"""From a request to what the engine is told to create, and from what it says of a container to how it is. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pycloud.errors import BadRequest
from pycloud.protocol.container_spec import ImageScript
from pycloud.runtimes.base import Exit, Order, Started
from pycloud.runtimes.docker.spec.options import LABELS, MOST_ENVIRONMENT, check, check_environment
from pycloud.runtimes.docker.spec.policy import Policy

NAME = "pycloud_"
CLOUD, SESSION, REQUEST, PORT, RECORD = (LABELS + name for name in ("cloud", "session", "request", "port", "record"))
#: For people, and for what filters containers; and the session's labels below a prefix. Nothing is read from these.
SESSION_NAME, SESSION_LABEL = LABELS + "name", LABELS + "label."

#: Options that go into the call itself as they are; what is neither here nor in MADE goes into its host config.
CREATE = frozenset(
    (
        *("command", "entrypoint", "hostname", "domainname", "user", "working_dir", "healthcheck", "stop_signal"),
        *("tty", "stdin_open", "network_disabled", "mac_address", "platform", "use_config_proxy"),
    )
)
#: Options that are made into something else, below.
MADE = frozenset(
    (
        *("port", "ports", "volumes", "mounts", "environment", "labels", "stop_grace"),
        *("network", "network_mode", "networking_config"),
    )
)
#: Where a request's entries come beside those of the defaults; elsewhere its value replaces theirs.
JOINED = frozenset(("environment", "labels", "tmpfs", "extra_hosts", "sysctls", "storage_opt", "ports"))
BY_TARGET = frozenset(("volumes", "mounts"))
NETWORKS = ("network", "network_mode", "networking_config")

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True)
class Creation:
    """What to create. ``ports``: those of the container that are to be reached, in order, as "80/tcp".

    ``kwargs``: those of docker-py's ``APIClient.create_container`` but for image and name; its ``host_config`` holds
    the keyword arguments of ``create_host_config`` (which wants to know the engine's version). ``stop_grace``: seconds,
    None: the cloud's setting.
    """

    image: str
    name: str
    kwargs: dict[str, Any]
    stop_grace: float | None
    ports: tuple[str, ...]


def creation(script: ImageScript, order: Order, policy: Policy, cloud: str, hostname: str, log_bytes: int) -> Creation:
    """What to create for ``order``. Raises BadRequest, and NotAllowed where the policy is against it."""
    asked = check(script.options)
    policy.check_image(script.image, script.shown)
    options = merged(policy.defaults, policy.permitted(asked))
    bindings = {**dict.fromkeys(options.get("port", ())), **options.get("ports", {})}
    ports = tuple(bindings)
    network = options.get("network") or options.get("network_mode") or policy.network
    if ports:
        _check_reachable(network, options)
    first = ports[0] if ports else ""
    host = {name: value for name, value in options.items() if name not in CREATE | MADE}
    host |= _storage(options) | ({"port_bindings": bindings} if ports else {})
    host |= {"network_mode": network} if network else {}
    host.setdefault("log_config", _log_config(log_bytes))
    kwargs = {
        # The proxies of the daemon's own user are nothing that sessions need to know.
        "use_config_proxy": False,
        **{name: value for name, value in options.items() if name in CREATE},
        "detach": True,
        "environment": _environment(options, order, cloud, hostname, first),
        "labels": _labels(options, order, cloud, first),
        "ports": [tuple(port.split("/")) for port in ports],
        "volumes": [volume.target for volume in options.get("volumes", ()) if volume.source is None],
        "host_config": host,
    }
    if "networking_config" in options and network == options.get("network"):
        kwargs["networking_config"] = {"EndpointsConfig": options["networking_config"]}
    grace = options.get("stop_grace")
    if grace is not None:
        kwargs["stop_timeout"] = math.ceil(grace)
    return Creation(script.image, NAME + order.session, kwargs, grace, ports)


def merged(defaults: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """``asked`` over ``defaults``, both in the one form of options."""
    found = dict(defaults)
    if any(name in asked for name in NETWORKS):
        found = {name: value for name, value in found.items() if name not in NETWORKS}
    for name, value in asked.items():
        if name in JOINED and name in found:
            found[name] = {**found[name], **value}
        elif name in BY_TARGET and name in found:
            targets = {mount.target for mount in value}
            found[name] = (*(mount for mount in found[name] if mount.target not in targets), *value)
        else:
            found[name] = value
    return found


def _check_reachable(network: str | None, options: Mapping[str, Any]) -> None:
    if options.get("network_disabled") or network == "none":
        raise BadRequest("`port` cannot be reached without a network")
    if network == "host" or (network or "").startswith("container:"):
        raise BadRequest(f"`port` cannot be mapped in the network {network}: leave it out")


def _storage(options: Mapping[str, Any]) -> dict[str, Any]:
    binds = [volume.bind() for volume in options.get("volumes", ()) if volume.source is not None]
    mounts = [mount.wire() for mount in options.get("mounts", ())]
    return {name: value for name, value in (("binds", binds), ("mounts", mounts)) if value}


def _log_config(log_bytes: int) -> dict[str, Any]:
    """Two files of which the older one is thrown away: at least ``log_bytes`` are there once so many were written."""
    return {"type": "json-file", "config": {"max-size": str(log_bytes), "max-file": "2"}}


def _environment(
    options: Mapping[str, Any], order: Order, cloud: str, hostname: str, first: str
) -> dict[str, str | None]:
    """A value of None takes a variable of the image away. ``PYCLOUD_PORT`` is where the application is to listen."""
    identity = {"PYCLOUD_SESSION": order.session, "PYCLOUD_CLOUD": cloud, "PYCLOUD_HOSTNAME": hostname}
    port = {"PYCLOUD_PORT": first.partition("/")[0]} if first else {}
    environment = {**options.get("environment", {}), **order.env, **identity, **port}
    try:
        check_environment(environment)
    except ValueError as error:
        text = f"`environment` and `env` are, with what this cloud adds, more than {MOST_ENVIRONMENT} bytes in all"
        raise BadRequest(text) from error
    return environment


def _labels(options: Mapping[str, Any], order: Order, cloud: str, first: str) -> dict[str, str]:
    return {
        **options.get("labels", {}),
        CLOUD: cloud,
        SESSION: order.session,
        REQUEST: str(order.record.get("request", "")),
        PORT: first,
        RECORD: json.dumps(dict(order.record)),
        **({SESSION_NAME: str(name)} if (name := order.record.get("name")) else {}),
        **{SESSION_LABEL + key: str(value) for key, value in order.record.get("labels", {}).items()},
    }


def declared_of(inspected: Mapping[str, Any]) -> tuple[str, ...]:
    """The ports of a container that are to be reached, as Creation had them: the first one first, the rest sorted."""
    bound = sorted(_part(inspected, "HostConfig", "PortBindings"))
    first = _part(inspected, "Config", "Labels").get(PORT)
    return tuple(sorted(bound, key=lambda port: port != first))


def ports_of(inspected: Mapping[str, Any], declared: Iterable[str]) -> tuple[int | None, dict[str, int]]:
    """The first port on the host, and all of ``declared`` by the container's; those that are not mapped are missing.

    A container that has ended has none. Where IPv4 and IPv6 have different ones, IPv4's counts.
    """
    bound = _part(inspected, "NetworkSettings", "Ports")
    found = {port: number for port in declared if (number := _host_port(bound.get(port)))}
    return next(iter(found.values()), None), found


def started_of(inspected: Mapping[str, Any]) -> Started | None:
    """Since when it runs, or ran, and where; None where it never did."""
    started = _seconds(_part(inspected, "State").get("StartedAt"))
    if started is None:
        return None
    port, ports = ports_of(inspected, declared_of(inspected))
    return Started(port, started, ports)


def exit_of(inspected: Mapping[str, Any]) -> Exit | None:
    """How it ended; None while it runs (paused ones do), and where it never did."""
    state = _part(inspected, "State")
    started = _seconds(state.get("StartedAt"))
    if started is None or state.get("Running") or state.get("Restarting") or state.get("Paused"):
        return None
    code = state.get("ExitCode")
    return Exit(code if isinstance(code, int) else None, _reason(state), _seconds(state.get("FinishedAt")) or started)


def _reason(state: Mapping[str, Any]) -> str | None:
    said = [str(state["Error"])] if state.get("Error") else []
    if state.get("OOMKilled"):
        # Its first process may have outlived the one that was killed, and ended for a reason of its own.
        killed = state.get("ExitCode") == 137
        said.insert(0, "out of memory" if killed else "a process in it was killed: out of memory")
    return "; ".join(said) or None


def _part(inspected: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """An object within; what the engine leaves out or null is empty."""
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
    """RFC 3339 with up to nine digits of a second, as Unix seconds; None for the year 1, by which Go says never."""
    found = _TIME.fullmatch(time) if isinstance(time, str) else None
    if found is None or found[1].startswith("0001-"):
        return None
    try:
        whole = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00")).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    return whole + float(f"0.{found[2] or 0}")
