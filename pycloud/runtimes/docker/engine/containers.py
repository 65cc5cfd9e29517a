"""The engine's calls for containers, one method each."""

from __future__ import annotations

import math
from time import monotonic
from typing import Any

import docker
import gevent

from pycloud.errors import RemoveFailed
from pycloud.runtimes.docker.engine.client import EngineClient
from pycloud.runtimes.docker.engine.errors import CONFLICT, NOT_FOUND, EngineError
from pycloud.runtimes.docker.engine.listing import ListedContainer, containers_by_session
from pycloud.runtimes.docker.spec.container import NODE_LABEL, ContainerConfig

#: Assumed bytes per line for the first attempt, and the factor for the next one where that was too little.
BYTES_PER_LINE, GROWTH_FACTOR = 64, 8


def _read_tail(client: docker.APIClient, container: str, count: int) -> tuple[int, bytes]:
    """Return the offset of the newest output within what the engine retains, and the output: at most ``count`` bytes.

    The offset is exact where all retained output had to be read; otherwise it is a lower bound: engines count lines,
    not bytes (and treat no line as longer than 16 KiB). Raises docker-py's errors.
    """
    lines, before = count // BYTES_PER_LINE + 1, -1
    while True:
        newest: bytes = client.logs(container, tail=lines)
        # If more lines have no more bytes, this is all output.
        if len(newest) >= count or len(newest) == before:
            start = max(0, len(newest) - count)
            return start, newest[start:]
        lines, before = lines * GROWTH_FACTOR, len(newest)


#: Seconds between two checks whether a removal begun by another client has finished.
POLL_INTERVAL = 0.1
#: The first API version in which an engine returns statistics after a single measurement.
ONE_SHOT_API_VERSION = "1.41"

Inspected = dict[str, Any]


class Containers:
    """Calls for containers, given by id or name. ``timeout``: seconds that another client's removal may take.

    All methods raise EngineError and EngineUnavailable.
    """

    def __init__(self, engine: EngineClient, timeout: float) -> None:
        self._engine, self._timeout = engine, timeout

    def create(self, container_config: ContainerConfig) -> str:
        """Create a container; return its id."""

        def create(client: docker.APIClient) -> str:
            host_config = client.create_host_config(**container_config.kwargs["host_config"])
            kwargs = {**container_config.kwargs, "host_config": host_config}
            return str(client.create_container(container_config.image, name=container_config.name, **kwargs)["Id"])

        return self._engine.run(create)

    def start(self, container: str) -> None:
        """Start a container."""
        self._engine.run(lambda client: client.start(container))

    def inspect(self, container: str) -> Inspected | None:
        """Return all that the engine knows of a container; None: it does not exist."""
        try:
            found: Inspected = self._engine.run(lambda client: client.inspect_container(container))
        except EngineError as error:
            if error.status != NOT_FOUND:
                raise
            return None
        return found

    def list(self, node: str) -> dict[str, ListedContainer]:
        """Return the containers of a node, in any state, by session."""
        filters = {"label": f"{NODE_LABEL}={node}"}
        return containers_by_session(
            self._engine.run(lambda client: client.containers(all=True, filters=filters)), node
        )

    def stop(self, container: str, grace: float) -> None:
        """Stop a container, with ``grace`` seconds (rounded up) before it is killed. A missing one is ignored."""
        seconds = math.ceil(grace)
        try:
            self._engine.run(lambda client: client.stop(container, timeout=seconds), self._timeout + seconds)
        except EngineError as error:
            if error.status != NOT_FOUND:
                raise

    def remove(self, container: str) -> bool:
        """Remove a container with its anonymous volumes, killing it if it runs; return False if it did not exist.

        Raises RemoveFailed where the engine cannot remove it.
        """
        try:
            self._engine.run(lambda client: client.remove_container(container, v=True, force=True))
        except EngineError as error:
            if error.status == CONFLICT:  # another client is removing it
                self._wait_until_removed(container)
            elif error.status == NOT_FOUND:
                return False
            else:
                raise RemoveFailed(error.message) from error
        return True

    def tail(self, container: str, count: int) -> tuple[int, bytes]:
        """Return the offset of the newest output and at most ``count`` bytes of it. Raises FileNotFoundError."""
        try:
            return self._engine.run(lambda client: _read_tail(client, container, count))
        except EngineError as error:
            raise FileNotFoundError(error.message) from error

    def stats(self, container: str) -> dict[str, Any] | None:
        """Return the engine's statistics of a container; None: it does not exist."""

        def read(client: docker.APIClient) -> dict[str, Any]:
            # Engines before 20.10 cannot measure once: they measure twice, one second apart.
            once = {"one_shot": True} if docker.utils.version_gte(client.api_version, ONE_SHOT_API_VERSION) else {}
            stats: dict[str, Any] = client.stats(container, stream=False, **once)
            return stats

        try:
            return self._engine.run(read)
        except EngineError as error:
            if error.status != NOT_FOUND:
                raise
            return None

    def _wait_until_removed(self, container: str) -> None:
        deadline = monotonic() + self._timeout
        while self.inspect(container) is not None:
            if monotonic() > deadline:
                raise RemoveFailed(f"another client has been removing its container for {self._timeout:g} s")
            gevent.sleep(POLL_INTERVAL)
