"""The policy of an operator for container options, so that permission to publish does not grant control of the host.

Pure, except for resolving host paths. Allowed options are listed, so that an option that is new here is rejected: those
in ALWAYS_ALLOWED are open to all requesters; VALUE_CHECKS accepts harmless values; the operator can open the rest.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pycloud.config import Config
from pycloud.errors import BadRequest, ConfigError, NotAllowed
from pycloud.protocol.image_reference import ImagePattern, parse_pattern, parse_reference
from pycloud.runtimes.docker.spec.mounts import Mount, Volume
from pycloud.runtimes.docker.spec.options import OPTIONS, RESERVED_OPTIONS, describe_unknown, validate_options
from pycloud.runtimes.docker.spec.schema import is_volume_name

#: Options that cannot affect the host, whatever their value.
ALWAYS_ALLOWED = frozenset(
    (
        *("port", "stop_grace", "command", "entrypoint", "environment", "user", "labels"),
        *("hostname", "domainname", "extra_hosts", "dns", "dns_opt", "dns_search", "network_disabled"),
        *("mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", "shm_size", "pids_limit"),
        *("nano_cpus", "cpu_period", "cpu_quota", "cpu_shares", "cpu_count", "cpu_percent"),
        *("cpuset_cpus", "cpuset_mems", "platform", "init", "read_only", "cap_drop"),
        *("stop_signal", "tty", "stdin_open"),
    )
)
#: Networks that every engine has and that isolate the container from the host. Where the operator has configured a
#: network, sessions must use it: it may be one without outside connections.
ISOLATED_NETWORKS = frozenset({"none", "bridge", "default"})
#: Nanoseconds between two health checks. For each, the engine starts a process from outside the container's limits.
MIN_HEALTHCHECK_INTERVAL = 1_000_000_000
#: Modes of volumes that change nothing on the host.
PLAIN_MODES = frozenset({"ro", "rw", "nocopy", "rprivate", "cached", "delegated", "consistent", "default"})
#: Fields of mounts that change nothing on the host.
PLAIN_FIELDS = frozenset({"consistency", "propagation", "no_copy", "tmpfs_size", "tmpfs_mode"})
TMPFS_SETTINGS = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"})
TMPFS_FLAGS = frozenset({"", "rw", "ro", "exec", "noexec", "nosuid", "nodev", "noatime", "relatime"})


def resolved(path: str) -> str | None:
    """Return the path without symbolic links and ``..``; None where it does not exist or is not valid UTF-8."""
    try:
        found = os.path.realpath(path, strict=True)
        found.encode()
    except (OSError, ValueError):
        return None
    return found


@dataclass(frozen=True)
class AllowedSource:
    """A host path below which sessions may mount, or a volume that they may mount."""

    source: str
    read_only: bool


@dataclass(frozen=True)
class Policy:
    """The policy. ``defaults``: options in canonical form, beneath those of every request. ``images`` empty: any image.

    ``allow``: options opened by the operator. ``volumes``: host paths and volumes that may be mounted. ``network``: the
    network of sessions. ``resolve`` returns the real path of a host path, or None where it does not exist.
    """

    allow: frozenset[str] = frozenset()
    volumes: tuple[AllowedSource, ...] = ()
    images: tuple[ImagePattern, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None
    resolve: Callable[[str], str | None] = resolved

    @classmethod
    def from_config(cls, config: Config) -> Policy:
        """Return the policy in the configuration. Raises ConfigError, which names the setting."""
        try:
            defaults = validate_options(config.docker_defaults)
        except BadRequest as error:
            raise ConfigError(f"docker.defaults: {error.message}") from error
        return cls(
            frozenset(_parse_allowed_option(name) for name in config.docker_allow),
            tuple(_parse_allowed_source(entry) for entry in config.docker_volumes),
            tuple(_pattern(text) for text in config.docker_images),
            defaults,
            config.docker_network,
        )

    def check_image(self, image: str, shown: str) -> None:
        """Check that sessions may use ``image``, a full reference; ``shown`` is for the message. Raises NotAllowed."""
        reference = parse_reference(image)
        if self.images and not any(pattern.matches(reference) for pattern in self.images):
            raise NotAllowed(f"the image {shown} is not allowed on this node (docker.images)")

    def permitted(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the allowed options of a request, in canonical form. Raises NotAllowed for others.

        Host paths are returned without symbolic links. Options without effect are left out: ``privileged: false``.
        """
        found = {}
        for name, value in options.items():
            if name in ALWAYS_ALLOWED or name in self.allow:
                found[name] = value
            elif value and name in VALUE_CHECKS:
                found[name] = VALUE_CHECKS[name](self, name, value)
            elif value:
                raise not_allowed(name)
        return found

    def host_source(self, name: str, source: str, read_only: bool) -> str:
        """Return the source to mount for ``source``, a host path or a volume's name. Raises NotAllowed."""
        path = self.resolve(source) if source.startswith("/") else source
        if path is not None and ":" not in path:
            for allowed in self.volumes:
                if self._covers(allowed, path) and (read_only or not allowed.read_only):
                    return path
            if any(self._covers(opened, path) for opened in self.volumes):
                raise NotAllowed(f"`{name}`: {source[:200]} is read-only on this node: mount it read-only, as with :ro")
        # The same error whether the path exists or not: requests must not reveal which files the host has.
        what = "an existing path below those" if source.startswith("/") else "one of the volumes"
        raise NotAllowed(f"`{name}`: {source[:200]} is not {what} that are allowed on this node (docker.volumes)")

    def _covers(self, allowed: AllowedSource, path: str) -> bool:
        if not path.startswith("/") or not allowed.source.startswith("/"):
            return path == allowed.source
        top = self.resolve(allowed.source)
        return top is not None and (path == top or path.startswith(top.rstrip("/") + "/"))


def not_allowed(name: str, reason: str = "") -> NotAllowed:
    """Return the error for an option that is not allowed here."""
    explanation = f": {reason}" if reason else " is not allowed on this node"
    return NotAllowed(f'`{name}`{explanation}; the operator can allow it with docker.allow = ["{name}"]')


def _network(policy: Policy, name: str, value: str) -> str:
    if value not in ({"none", policy.network} if policy.network else ISOLATED_NETWORKS):
        raise not_allowed(name, f"{value[:64]} is not a network for sessions on this node")
    return value


def _healthcheck(_policy: Policy, name: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    if 0 < value.get("interval", 0) < MIN_HEALTHCHECK_INTERVAL:
        raise not_allowed(name, f"an interval of less than {MIN_HEALTHCHECK_INTERVAL} nanoseconds burdens the host")
    return value


def _one_of(*values: str) -> Callable[[Policy, str, Any], Any]:
    def judge(_policy: Policy, name: str, value: str) -> str:
        if value not in values:
            raise not_allowed(name, f"{value[:64]} breaks the isolation of the container")
        return value

    return judge


def _ports(_policy: Policy, name: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    if any(where is not None for where in value.values()):
        raise not_allowed(name, "ports of the host are the engine's choice (null)")
    return value


def _working_dir(_policy: Policy, name: str, value: str) -> str:
    _check_target(name, value)
    return value


def _check_target(name: str, target: str) -> None:
    """Reject a target below /proc.

    The program that starts containers has files open there, including the host's, until it executes the session's
    program: older versions could be redirected there, or be given a false /proc.
    """
    path = posixpath.normpath("/" + target.lstrip("/"))
    if path == "/proc" or path.startswith("/proc/"):
        raise not_allowed(name, f"{target[:64]} is reserved for the engine and the kernel")


def _volumes(policy: Policy, name: str, value: tuple[Volume, ...]) -> tuple[Volume, ...]:
    return tuple(_volume(policy, name, volume) for volume in value)


def _volume(policy: Policy, name: str, volume: Volume) -> Volume:
    _check_target(name, volume.target)
    if odd := sorted(set(volume.modes) - PLAIN_MODES):
        raise not_allowed(name, f"the mode {odd[0]} reaches into the host")
    if volume.source is None:
        return volume
    return replace(volume, source=policy.host_source(name, volume.source, volume.read_only))


def _mounts(policy: Policy, name: str, value: tuple[Mount, ...]) -> tuple[Mount, ...]:
    return tuple(_mount(policy, name, mount) for mount in value)


def _mount(policy: Policy, name: str, mount: Mount) -> Mount:
    _check_target(name, mount.target)
    odd = sorted(set(mount.options) - PLAIN_FIELDS)
    if odd or mount.options.get("propagation", "rprivate") != "rprivate":
        raise not_allowed(name, f"{odd[0] if odd else 'propagation'} reaches into the host")
    if mount.type not in ("bind", "volume", "tmpfs"):
        raise not_allowed(name, f"mounts of type {mount.type} reach into the host")
    if mount.source is None:
        return mount
    return replace(mount, source=policy.host_source(name, mount.source, mount.read_only))


def _tmpfs(_policy: Policy, name: str, value: Mapping[str, str]) -> Mapping[str, str]:
    for target in value:
        _check_target(name, target)
    for part in (part for options in value.values() for part in options.split(",")):
        setting, equals, _ = part.partition("=")
        if setting not in (TMPFS_SETTINGS if equals else TMPFS_FLAGS):
            raise not_allowed(name, f"{part[:64]} is not one of the allowed mount options")
    return value


#: Checks of options with some values open to all requesters: each returns the value to use, or raises NotAllowed.
VALUE_CHECKS: dict[str, Callable[[Policy, str, Any], Any]] = {
    "network": _network,
    "network_mode": _network,
    "ipc_mode": _one_of("private", "none"),
    "cgroupns": _one_of("private"),
    "healthcheck": _healthcheck,
    "ports": _ports,
    "volumes": _volumes,
    "mounts": _mounts,
    "tmpfs": _tmpfs,
    "working_dir": _working_dir,
}


def _parse_allowed_option(name: str) -> str:
    if name in RESERVED_OPTIONS:
        raise ConfigError(f"docker.allow: {name} cannot be allowed: {RESERVED_OPTIONS[name]}")
    if name not in OPTIONS:
        raise ConfigError(f"docker.allow: there is no option {describe_unknown(name)}")
    return name


def _parse_allowed_source(entry: str) -> AllowedSource:
    source, colon, mode = entry.partition(":")
    if mode not in ("", "ro", "rw") or (colon and not mode):
        raise ConfigError(f"docker.volumes: {entry!r} is PATH, PATH:ro or PATH:rw")
    if not source.startswith("/") and not is_volume_name(source):
        raise ConfigError(f"docker.volumes: {entry!r} is neither an absolute path nor the name of a volume")
    return AllowedSource(source, mode == "ro")


def _pattern(text: str) -> ImagePattern:
    try:
        return parse_pattern(text)
    except ValueError as error:
        raise ConfigError(f"docker.images: {error}") from error
