"""The mounts of a container: converts docker-py's many notations into one form per kind. Pure.

The policy decides whether a mount is allowed. Paths are the engine's: absolute, with slashes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pycloud.runtimes.docker.spec.schema import (
    FieldType,
    boolean,
    integer,
    is_volume_name,
    matching,
    object_of,
    read_bounded_text,
    size,
    text,
    text_by_name,
)

PROPAGATIONS = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
ACCESS = frozenset({"ro", "rw"})
MODES = ACCESS | PROPAGATIONS | {"z", "Z", "nocopy", "cached", "delegated", "consistent", "default"}
TYPES = ("bind", "volume", "tmpfs", "npipe")


@dataclass(frozen=True)
class Volume:
    """An entry of the option ``volumes``. ``source``: a host path, a volume's name, or None for an anonymous volume."""

    source: str | None
    target: str
    modes: tuple[str, ...] = ()

    @property
    def read_only(self) -> bool:
        """Whether the session may only read it."""
        return "ro" in self.modes

    def bind(self) -> str:
        """Return the engine's notation of a bind; not for anonymous volumes. Unambiguous: no part has a colon."""
        return ":".join((str(self.source), self.target, ",".join(self.modes) or "rw"))


@dataclass(frozen=True)
class Mount:
    """An entry of the option ``mounts``; ``options``: its further fields, by docker-py's names."""

    type: str
    source: str | None
    target: str
    read_only: bool
    options: Mapping[str, Any]

    def to_engine(self) -> dict[str, Any]:
        """Return the mount in the engine's format."""
        found: dict[str, Any] = {"Target": self.target, "Type": self.type, "ReadOnly": self.read_only}
        if self.source is not None:
            found["Source"] = self.source
        for group, field, name in ENGINE_FIELDS:
            if name in self.options and group:
                found.setdefault(group, {})[field] = self.options[name]
            elif name in self.options:
                found[field] = self.options[name]
        return found


#: Group and field in the engine's format, docker-py's name.
ENGINE_FIELDS = (
    ("", "Consistency", "consistency"),
    ("BindOptions", "Propagation", "propagation"),
    ("VolumeOptions", "NoCopy", "no_copy"),
    ("VolumeOptions", "Labels", "labels"),
    ("VolumeOptions", "DriverConfig", "driver_config"),
    ("VolumeOptions", "Subpath", "subpath"),
    ("TmpfsOptions", "SizeBytes", "tmpfs_size"),
    ("TmpfsOptions", "Mode", "tmpfs_mode"),
)
#: The type of mount that a group of fields belongs to.
GROUP_TYPES = {"BindOptions": "bind", "VolumeOptions": "volume", "TmpfsOptions": "tmpfs"}


def read_target(value: object) -> str:
    """Read a path in the container, other than its root. Raises ValueError."""
    path = read_bounded_text(value)
    if not path.startswith("/") or posixpath.normpath(path).strip("/") == "":
        raise ValueError(f"{path!r} is not an absolute path in the container")
    if ":" in path or ".." in path.split("/"):
        raise ValueError(f"{path!r} has ':' or '..' in it")
    return path


def read_source(value: object) -> str:
    """Read a host path or the name of a volume. Raises ValueError."""
    source = read_bounded_text(value)
    if ":" in source or not (source.startswith("/") or is_volume_name(source)):
        raise ValueError(f"{source!r} is neither an absolute path of the host, without ':', nor the name of a volume")
    return source


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(dict.fromkeys(mode for mode in text.split(",") if mode))
    if unknown := [mode for mode in modes if mode not in MODES]:
        raise ValueError(f"{unknown[0]!r} is not a mode; modes are ro, rw, ...")
    if ACCESS.issubset(modes) or len(PROPAGATIONS.intersection(modes)) > 1:
        raise ValueError(f"{text!r} has two contradictory modes")
    return modes


def _from_line(value: object) -> Volume:
    match read_bounded_text(value).split(":"):
        case [target]:
            return Volume(None, read_target(target))
        case [source, target]:
            return Volume(read_source(source), read_target(target))
        case [source, target, modes]:
            return Volume(read_source(source), read_target(target), _modes(modes))
    raise ValueError(f"{value!r} has more than source, target and mode")


_BIND = object_of("", {"bind": text(), "mode": text(), "ro": boolean(), "propagation": text()}, required=("bind",))


def _from_entry(source: object, value: object) -> Volume:
    if isinstance(value, str):
        return Volume(read_source(source), read_target(value))
    bind = _BIND.read(value)
    if "ro" in bind and "mode" in bind:
        raise ValueError("it has both `ro` and `mode`")
    access = {True: "ro", False: "rw", None: bind.get("mode", "")}[bind.get("ro")]
    modes = _modes(",".join((access, bind.get("propagation", ""))))
    return Volume(read_source(source), read_target(bind["bind"]), modes)


def _read_volumes(value: object) -> tuple[Volume, ...]:
    if isinstance(value, list):
        return tuple(_from_line(line) for line in value)
    if isinstance(value, dict):
        return tuple(_from_entry(source, bind) for source, bind in value.items())
    raise ValueError


def volumes() -> FieldType:
    """Return the type of the option ``volumes``."""
    return FieldType(
        'an object as in {"/srv/maps": {"bind": "/maps", "mode": "ro"}}, or a list as in ["/srv/maps:/maps", "/data"]',
        _read_volumes,
    )


_DRIVER = object_of("", {"Name": text(), "Options": text_by_name("")})
_MOUNT = object_of(
    "",
    {
        "target": text(),
        "source": text(),
        "type": text(),
        "read_only": boolean(),
        "consistency": matching("a mode of consistency", "default|consistent|cached|delegated"),
        "propagation": matching("a mode of propagation", "|".join(sorted(PROPAGATIONS))),
        "no_copy": boolean(),
        "labels": text_by_name(""),
        "driver_config": _DRIVER,
        "subpath": text(),
        "tmpfs_size": size(),
        "tmpfs_mode": integer(low=0, high=0o7777),
    },
    required=("target",),
)


def _read_mount(value: object) -> Mount:
    options = _MOUNT.read(value)
    kind, source = options.pop("type", "volume"), options.pop("source", "") or None
    if kind not in TYPES:
        raise ValueError(f"its type must be one of {', '.join(TYPES)}")
    if kind == "bind" and not (source or "").startswith("/"):
        raise ValueError("the source of a bind mount must be an absolute path of the host")
    if kind == "volume" and source is not None and not is_volume_name(source):
        raise ValueError('its source is not the name of a volume; for a path of the host the type is "bind"')
    if kind == "tmpfs" and source is not None:
        raise ValueError("a tmpfs mount has no source")
    for group, _, name in ENGINE_FIELDS:
        if name in options and group and GROUP_TYPES[group] != kind:
            raise ValueError(f"{name} does not apply to a mount of type {kind}")
    return Mount(kind, source, read_target(options.pop("target")), options.pop("read_only", False), options)


def _read_mounts(value: object) -> tuple[Mount, ...]:
    if not isinstance(value, list):
        raise ValueError
    return tuple(_read_mount(each) for each in value)


def mounts() -> FieldType:
    """Return the type of the option ``mounts``."""
    return FieldType('a list of objects, as in [{"type": "tmpfs", "target": "/tmp"}]', _read_mounts)


def _read_tmpfs(value: object) -> dict[str, str]:
    if isinstance(value, list):
        value = {target: options for target, _, options in (read_bounded_text(line).partition(":") for line in value)}
    if not isinstance(value, dict):
        raise ValueError
    return {read_target(target): read_bounded_text(options or "") for target, options in value.items()}


def tmpfs() -> FieldType:
    """Return the type of the option ``tmpfs``: mount options by path."""
    return FieldType('an object as in {"/run": "size=64m"}, or a list of paths', _read_tmpfs)
