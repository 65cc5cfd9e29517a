"""Creates the runtimes that the configuration names."""

from __future__ import annotations

from pycloud.config import Config
from pycloud.runtimes.base import Runtime
from pycloud.runtimes.composite import CompositeRuntime


def create_runtimes(config: Config, node: str, nofile: int) -> CompositeRuntime:
    """Return one runtime of each kind in ``config.runtime``, which must not contain ``auto``.

    The modules of a kind are imported only where it is used. ``nofile``: the soft limit on descriptors of script
    sessions.
    """
    parts: list[Runtime] = []
    for kind in config.runtime:
        if kind == "script":
            from pycloud.runtimes.script.runtime import ScriptRuntime

            parts.append(ScriptRuntime(config, node, nofile))
        else:
            from pycloud.runtimes.docker import DockerRuntime

            parts.append(DockerRuntime(config, node))
    return CompositeRuntime(parts)
