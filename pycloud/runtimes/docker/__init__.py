"""Sessions that are containers of a container engine.

May use the engine, its client libraries, and the records in the data directory. Start with ``runtime.py``.
"""

from pycloud.runtimes.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
