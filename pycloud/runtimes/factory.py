"""The runtimes that the settings ask for."""

from __future__ import annotations

from pycloud.config import Config
from pycloud.runtimes.base import Runtime
from pycloud.runtimes.composite import CompositeRuntime


def create_runtimes(config: Config, node: str, nofile: int) -> CompositeRuntime:
    """One of each kind in ``config.runtime`` (settled: no ``auto``). What a kind needs is loaded only where it is used.

    ``nofile``: the soft limit on descriptors that script sessions get.
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
