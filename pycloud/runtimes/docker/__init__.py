"""Sessions that are containers of a container engine."""

from pycloud.runtimes.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
