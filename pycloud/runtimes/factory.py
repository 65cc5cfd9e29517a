"""Finds the runtimes that the configuration names, built in or installed as plugins, and creates them.

A runtime is one class (``base.Runtime``). Its module is loaded only where the configuration names it.
"""

from __future__ import annotations

import logging
from functools import partial
from pkgutil import resolve_name
from typing import Any

from pycloud.config import Config
from pycloud.config.plugins import installed
from pycloud.errors import ConfigError
from pycloud.protocol.container_spec import set_plugins
from pycloud.runtimes.base import Runtime
from pycloud.runtimes.composite import CompositeRuntime

#: The runtimes that need no entry point.
BUILT_IN = {
    "script": "pycloud.runtimes.script.runtime:ScriptRuntime",
    "docker": "pycloud.runtimes.docker.runtime:DockerRuntime",
}

log = logging.getLogger(__name__)


def create_runtimes(config: Config, node: str, nofile: int) -> CompositeRuntime:
    """Return one runtime of each kind in ``config.runtime``, which must not contain ``auto``. Raises ConfigError.

    From then on, a create that names no runtime is for the first plugin whose ``matches`` says so.
    """
    classes = {kind: runtime_class(kind) for kind in config.runtime}
    for kind, found in classes.items():
        if reason := found.detect(config):
            log.warning("runtime %s cannot run sessions on this host: %s", kind, reason)
    set_plugins({kind: partial(_matches, found) for kind, found in classes.items() if kind not in BUILT_IN})
    return CompositeRuntime([found(config, node, nofile) for found in classes.values()])


def check(config: Config) -> None:
    """Raise ConfigError where the settings of a runtime in ``config.runtime`` are invalid."""
    for kind in config.runtime:
        runtime_class(kind).check(config)


def end_all(config: Config) -> int | None:
    """End the sessions that a daemon left running because it had another setting or was killed; None: there were none.

    Of the built-in runtimes, and of the plugins in ``config.runtime``. Returns how many sessions were ended.
    """
    kinds = dict.fromkeys((*BUILT_IN, *(kind for kind in config.runtime if kind != "auto")))
    counts = [count for kind in kinds if (count := runtime_class(kind).end_all(config)) is not None]
    return sum(counts) if counts else None


def runtime_class(kind: str) -> Any:
    """Return the class of a runtime, see ``base.Runtime``. Raises ConfigError where it cannot be loaded."""
    place = BUILT_IN.get(kind) or installed()[kind]
    try:
        found = resolve_name(place)
    except Exception as error:
        raise ConfigError(f"runtime {kind}: {place} cannot be loaded: {error}") from error
    if found.kind != kind:
        raise ConfigError(f"runtime {kind}: the kind of {place} is {found.kind}, not the name of its entry point")
    return found


def _matches(found: type[Runtime], script: str) -> bool:
    """Return whether a script is for a plugin; False where it cannot tell, because no request may stop the daemon."""
    try:
        return found.matches(script)
    except Exception:
        log.exception("runtime %s failed to decide whether it runs a script; it is taken not to", found.kind)
        return False
