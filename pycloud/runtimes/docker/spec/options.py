"""The options of an image script: docker-py's for ``containers.run``, by its names, and two of PyCloud's own. Pure.

Defines the type of each option, and which are reserved for PyCloud. The policy decides which others may be used; an
option not listed here does not exist.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pycloud.errors import BadRequest
from pycloud.protocol.validation import RESERVED_ENV
from pycloud.runtimes.docker.spec.mounts import mounts, tmpfs, volumes
from pycloud.runtimes.docker.spec.schema import (
    MAX_ARGUMENT_BYTES,
    FieldType,
    any_object,
    boolean,
    command,
    integer,
    list_of,
    matching,
    max_length,
    object_of,
    one_of,
    read_bounded_text,
    read_port,
    read_text,
    shown,
    size,
    text,
    text_by_name,
    text_list,
    user,
    utf8_length,
)

LABEL_PREFIX = "pycloud."
MAX_GRACE = 3600
#: Ports of one container. Each takes one of the host's ports, and a process of the engine to serve it.
MAX_PORTS = 64
#: Bytes of a program's name, which errors repeat. It may also be a shell's script, where the image's entrypoint is a
#: shell.
MAX_PROGRAM_BYTES = 8 * 1024
#: Mounts and other entries, each of which takes resources of the engine and the kernel.
MAX_ENTRIES = 64
#: Bytes in total: every list of containers includes the labels, and every process in a container has the environment.
MAX_LABELS_BYTES, MAX_ENVIRONMENT_BYTES = 16 * 1024, 128 * 1024
#: Nanoseconds; the engine rejects durations below it.
MILLISECOND = 1_000_000

#: docker-py's options that a request must not set, and the reasons.
RESERVED_OPTIONS = {
    "auto_remove": "a session's container is removed with the session",
    "detach": "sessions always run in the background",
    "image": "the first line of the script names the image",
    "init_path": "current engines do not support it",
    "name": "the container is named after its session",
    "remove": "a session's container is removed with the session",
    "restart_policy": "a session that has ended stays ended",
    "stderr": "output is asked for with logs",
    "stdout": "output is asked for with logs",
    "stream": "output is asked for with logs",
    "version": "the engine's version is not a session's choice",
}
#: Option names of other tools, and the corresponding options here.
ALIASES = {
    "binds": "volumes",
    "cmd": "command",
    "cpus": "nano_cpus",
    "env": "environment",
    "memory": "mem_limit",
    "port_bindings": "ports",
    "stop_timeout": "stop_grace",
    "workdir": "working_dir",
}


def _read_ports(value: object) -> tuple[str, ...]:
    ports = tuple(read_port(port) for port in (value if isinstance(value, list) else [value]))
    if len(ports) > MAX_PORTS:
        raise ValueError(f"more than {MAX_PORTS}")
    return tuple(dict.fromkeys(ports))


def _read_binding(value: object) -> Any:
    """Read a binding on the host.

    docker-py's tuples are lists in JSON; a leading address distinguishes them from lists of ports.
    """
    match value:
        case None:
            return None
        case [str(address)]:
            return (address,)
        case [str(address), int() | str() as port] if not address.isdigit() and not isinstance(port, bool):
            return (address, _host_port(port))
        case [_, *_]:
            found = [_read_binding(each) for each in value]
            if any(isinstance(each, list) for each in found):
                raise ValueError("a list in a list is [address, number]")
            return found
        case {"HostPort": port, **rest} if set(rest) <= {"HostIp"}:
            return (str(rest.get("HostIp") or ""), _host_port(port))
    return _host_port(value)


def _host_port(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"[0-9]{1,5}", str(value)):
        raise ValueError("a port of the host is a number, null or [address, number]")
    return str(value)


def _read_bindings(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > MAX_PORTS:
        raise ValueError
    found = {read_port(port): _read_binding(where) for port, where in value.items()}
    if len(found) != len(value):
        raise ValueError("a port is given twice")
    return found


def _read_grace(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_GRACE:
        raise ValueError
    return float(value)


def _read_signal(value: object) -> str:
    """Convert any notation of a signal that an engine knows to the one that all know: a number. Raises ValueError."""
    word = str(value).upper() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if re.fullmatch(r"[0-9]{1,3}", word, re.ASCII):
        number = int(word)
    elif found := re.fullmatch(r"(?:SIG)?RT(?:MIN\+([0-9]{1,2})|MAX-([0-9]{1,2}))", word, re.ASCII):
        number = signal.SIGRTMIN + int(found[1]) if found[1] else signal.SIGRTMAX - int(found[2])
    else:
        number = signal.Signals.__members__.get(f"SIG{word.removeprefix('SIG')}", 0)
    if not 1 <= number <= signal.SIGRTMAX:
        raise ValueError
    return str(int(number))


def _read_labels(value: object) -> dict[str, Any]:
    labels: dict[str, Any] = text_by_name("").read(value)
    if reserved := [name for name in labels if name.startswith(LABEL_PREFIX)]:
        raise ValueError(f"{shown(reserved[0])} is one of PyCloud's own")
    if _bytes_in(labels) > MAX_LABELS_BYTES:
        raise ValueError(f"more than {MAX_LABELS_BYTES} bytes in all")
    return labels


def _read_environment(value: object) -> dict[str, str | None]:
    environment: dict[str, str | None] = text_by_name("", absent=None).read(value)
    if reserved := sorted(RESERVED_ENV.intersection(environment)):
        raise ValueError(f"{reserved[0]} is set by PyCloud")
    validate_environment(environment)
    return environment


def validate_environment(environment: Mapping[str, str | None]) -> None:
    """Check that the environment is not too large for one container. Raises ValueError."""
    if _bytes_in(environment) > MAX_ENVIRONMENT_BYTES:
        raise ValueError(f"more than {MAX_ENVIRONMENT_BYTES} bytes in all")


def _bytes_in(words: Mapping[str, str | None]) -> int:
    """Return the bytes of ``NAME=VALUE`` for all entries, each with its terminator."""
    return sum(utf8_length(name) + utf8_length(word or "") + 2 for name, word in words.items())


def _read_healthcheck(value: object) -> dict[str, Any]:
    """Read a health check. Durations below 1 ms are rejected here: engines do so with a misleading message."""
    healthcheck: dict[str, Any] = _HEALTHCHECK.read(value)
    if short := [
        name for name in ("interval", "timeout", "start_period") if 0 < healthcheck.get(name, 0) < MILLISECOND
    ]:
        raise ValueError(f"its {short[0]} is in nanoseconds, 0 or at least {MILLISECOND}")
    test = healthcheck.get("test", [])
    for index, word in enumerate([test] if isinstance(test, str) else test):
        read_bounded_text(word, MAX_PROGRAM_BYTES if index == 1 and test[0] == "CMD" else MAX_ARGUMENT_BYTES)
    return healthcheck


_ANY_TEXT = FieldType("", read_text)
_NANOSECONDS = integer("a whole number of nanoseconds", 0)
_HEALTHCHECK = object_of(
    "",
    {
        "test": one_of("a string or a list of strings", _ANY_TEXT, list_of("", _ANY_TEXT)),
        "interval": _NANOSECONDS,
        "timeout": _NANOSECONDS,
        "retries": integer(low=0),
        "start_period": _NANOSECONDS,
    },
)
_TEXT_BY_NAME = text_by_name('an object of strings, or a list of strings as in ["NAME=VALUE"]')
_RATES = list_of("a list as in [{...}]", object_of("", {"Path": text(), "Rate": integer(low=0)}))
_WEIGHTS = list_of("a list as in [{...}]", object_of("", {"Path": text(), "Weight": integer(low=0)}))
_ULIMITS = list_of(
    'a list as in [{"name": "nofile", "soft": 1024}]',
    object_of("", {"name": text(), "soft": integer(), "hard": integer()}, required=("name",)),
)
_LOG_CONFIG = object_of(
    'an object as in {"type": "json-file", "config": {}}', {"type": text(), "config": text_by_name("")}
)
_DEVICE_REQUEST = object_of(
    "",
    {
        "driver": text(),
        "count": integer(),
        "device_ids": text_list(),
        "capabilities": list_of("a list of lists of strings", text_list()),
        "options": text_by_name("an object of strings"),
    },
)
_DEVICES = one_of("a list of strings", text_list(), list_of("", any_object()))

#: Every option that may be in a request, by name.
OPTIONS: dict[str, FieldType] = {
    "port": FieldType('a port, as in 80 or "53/udp", or a list of these', _read_ports),
    "stop_grace": FieldType(f"a number of seconds up to {MAX_GRACE}", _read_grace),
    "ports": FieldType('an object as in {"80/tcp": null}', _read_bindings),
    "volumes": max_length(MAX_ENTRIES, volumes()),
    "mounts": max_length(MAX_ENTRIES, mounts()),
    "tmpfs": max_length(MAX_ENTRIES, tmpfs()),
    "labels": FieldType(_TEXT_BY_NAME.description, _read_labels),
    "environment": FieldType(_TEXT_BY_NAME.description, _read_environment),
    "healthcheck": FieldType('an object as in {"test": ["CMD", "true"], "interval": 1000000000}', _read_healthcheck),
    "stop_signal": FieldType('a signal, as in "SIGINT"', _read_signal),
    **dict.fromkeys(("command", "entrypoint"), command()),
    **dict.fromkeys(("hostname", "domainname", "working_dir"), text()),
    **dict.fromkeys(("network", "network_mode", "ipc_mode", "pid_mode", "cgroupns"), text()),
    **dict.fromkeys(("userns_mode", "uts_mode"), matching('"host"', "host|")),
    **dict.fromkeys(("cgroup_parent", "isolation", "mac_address", "runtime", "volume_driver"), text()),
    **dict.fromkeys(("cpuset_cpus", "cpuset_mems"), matching('CPUs, as in "0-3" or "0,1"', r"[0-9]+([,-][0-9]+)*|")),
    "platform": matching('a platform, as in "linux/arm64"', r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,2}|"),
    "user": user(),
    **dict.fromkeys(("mem_limit", "mem_reservation", "kernel_memory", "shm_size"), size()),
    "memswap_limit": size(unlimited=True),
    "mem_swappiness": integer("a whole number from 0 to 100", 0, 100),
    "pids_limit": integer("a whole number, -1 for no limit", -1),
    **dict.fromkeys(
        ("nano_cpus", "cpu_period", "cpu_shares", "cpu_count", "cpu_rt_period", "cpu_rt_runtime"), integer()
    ),
    **dict.fromkeys(("cpu_quota", "oom_score_adj"), integer()),
    "cpu_percent": integer("a whole number from 0 to 100", 0, 100),
    "blkio_weight": integer("a whole number from 10 to 1000", 0, 1000),
    "blkio_weight_device": _WEIGHTS,
    **dict.fromkeys(("device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"), _RATES),
    **dict.fromkeys(("init", "read_only", "tty", "stdin_open", "network_disabled", "privileged"), boolean()),
    **dict.fromkeys(("oom_kill_disable", "publish_all_ports", "use_config_proxy"), boolean()),
    **dict.fromkeys(("cap_add", "security_opt", "device_cgroup_rules", "volumes_from"), text_list()),
    **dict.fromkeys(("cap_drop", "dns", "dns_opt", "dns_search"), max_length(MAX_ENTRIES, text_list())),
    "group_add": list_of("a list of names and numbers", user()),
    "devices": _DEVICES,
    "device_requests": list_of('a list of objects, as in [{"count": -1, "capabilities": [["gpu"]]}]', _DEVICE_REQUEST),
    "extra_hosts": max_length(
        MAX_ENTRIES, text_by_name('an object as in {"db": "10.0.0.7"}', split=":", allow_bare=False)
    ),
    "links": text_by_name('an object as in {"container": "alias"}', split=":"),
    "log_config": _LOG_CONFIG,
    "lxc_conf": any_object(),
    "networking_config": any_object("an object of endpoints by network"),
    "storage_opt": text_by_name("an object of strings"),
    "sysctls": text_by_name("an object of strings"),
    "ulimits": _ULIMITS,
}


def validate_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` with each value in canonical form (see ``schema.py``); nulls are left out. Raises BadRequest.

    The forms: ``port``: ("80/tcp", ...); ``ports``: bindings on the host by such a port; ``command`` and ``entrypoint``
    lists; ``environment``, ``labels``, ``tmpfs``, ``extra_hosts`` dicts of text; sizes in bytes; ``stop_signal`` a
    number as text; ``volumes`` and ``mounts`` tuples of Volume and Mount; ``stop_grace`` a float, in seconds.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name in RESERVED_OPTIONS:
            raise BadRequest(f"`{name}` belongs to PyCloud: {RESERVED_OPTIONS[name]}")
        if name not in OPTIONS:
            raise BadRequest(f"there is no option {describe_unknown(name)}")
        if value is not None:
            found[name] = OPTIONS[name].parse(name, value)
    program = next((words[0] for words in map(found.get, ("entrypoint", "command")) if words and words != [""]), "")
    if utf8_length(program) > MAX_PROGRAM_BYTES:
        raise BadRequest(
            f"the program (the first word of `entrypoint` or `command`) has over {MAX_PROGRAM_BYTES} bytes"
        )
    if len({*found.get("port", ()), *found.get("ports", ())}) > MAX_PORTS:
        raise BadRequest(f"`port` and `ports` are more than {MAX_PORTS} together")
    if "network" in found and "network_mode" in found:
        raise BadRequest("`network` and `network_mode` cannot be used together")
    if "networking_config" in found and "network" not in found:
        raise BadRequest("`networking_config` is of no use without `network`")
    return found


def describe_unknown(name: object) -> str:
    """Return an unknown option's name with the closest known one: ``"prot"; did you mean "port"?``"""
    word = str(name)[:64]
    known = [*OPTIONS, *RESERVED_OPTIONS, *ALIASES]
    close = get_close_matches(word.lower(), known, 1, 0.6) or get_close_matches(word.lower(), known, 1, 0.4)
    hint = f"; did you mean {shown(ALIASES.get(close[0], close[0]))}?" if close else ""
    return f"{shown(word)}{hint}"
