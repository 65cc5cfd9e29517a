"""What the engine is asked about containers, a method for each call."""

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

#: Bytes that a line is taken to have, for a first guess, and how much more is asked for where that was too little.
BYTES_PER_LINE, GROWTH_FACTOR = 64, 8


def _read_tail(client: docker.APIClient, container: str, count: int) -> tuple[int, bytes]:
    """The newest ``count`` bytes at most, and the offset of the first of them in what the engine has kept.

    The offset is exact as long as all that was kept had to be read; otherwise it is the least that it can be: engines
    count lines, not bytes (and take no line for longer than 16 KiB). Raises what docker-py raises.
    """
    lines, before = count // BYTES_PER_LINE + 1, -1
    while True:
        newest: bytes = client.logs(container, tail=lines)
        # Where more lines hold no more bytes, these are all.
        if len(newest) >= count or len(newest) == before:
            start = max(0, len(newest) - count)
            return start, newest[start:]
        lines, before = lines * GROWTH_FACTOR, len(newest)


#: Seconds between two looks whether a removal that somebody else began is over.
POLL_INTERVAL = 0.1
#: The first API version in which an engine tells what a container uses without looking twice.
ONE_SHOT_API_VERSION = "1.41"

Inspected = dict[str, Any]


class Containers:
    """Containers are named by id or name. ``timeout``: seconds that others get to finish a removal.

    All raise Refusal and EngineUnavailable.
    """

    def __init__(self, engine: EngineClient, timeout: float) -> None:
        self._engine, self._timeout = engine, timeout

    def create(self, container_config: ContainerConfig) -> str:
        """Create one; its id."""

        def create(client: docker.APIClient) -> str:
            host_config = client.create_host_config(**container_config.kwargs["host_config"])
            kwargs = {**container_config.kwargs, "host_config": host_config}
            return str(client.create_container(container_config.image, name=container_config.name, **kwargs)["Id"])

        return self._engine.run(create)

    def start(self, container: str) -> None:
        """Start it."""
        self._engine.run(lambda client: client.start(container))

    def inspect(self, container: str) -> Inspected | None:
        """All that the engine knows of it; None: it is not there."""
        try:
            found: Inspected = self._engine.run(lambda client: client.inspect_container(container))
        except EngineError as error:
            if error.status != NOT_FOUND:
                raise
            return None
        return found

    def list(self, node: str) -> dict[str, ListedContainer]:
        """Those of a cloud, in whatever state, by session."""
        filters = {"label": f"{NODE_LABEL}={node}"}
        return containers_by_session(
            self._engine.run(lambda client: client.containers(all=True, filters=filters)), node
        )

    def stop(self, container: str, grace: float) -> None:
        """End it, giving it ``grace`` seconds (whole ones, for the engine). One that is not there has ended."""
        seconds = math.ceil(grace)
        try:
            self._engine.run(lambda client: client.stop(container, timeout=seconds), self._timeout + seconds)
        except EngineError as error:
            if error.status != NOT_FOUND:
                raise

    def remove(self, container: str) -> bool:
        """Remove it with its anonymous volumes, ending it where it runs; False where it was not there.

        Raises RemoveFailed where the engine cannot.
        """
        try:
            self._engine.run(lambda client: client.remove_container(container, v=True, force=True))
        except EngineError as error:
            if error.status == CONFLICT:  # somebody else is at it
                self._wait_until_removed(container)
            elif error.status == NOT_FOUND:
                return False
            else:
                raise RemoveFailed(error.message) from error
        return True

    def tail(self, container: str, count: int) -> tuple[int, bytes]:
        """The newest ``count`` bytes of its output at most, and the offset of the first. Raises FileNotFoundError."""
        try:
            return self._engine.run(lambda client: _read_tail(client, container, count))
        except EngineError as error:
            raise FileNotFoundError(error.message) from error

    def stats(self, container: str) -> dict[str, Any] | None:
        """What it uses just now, in the engine's words; None: it is not there."""

        def read(client: docker.APIClient) -> dict[str, Any]:
            # Engines before 20.10 cannot look once: they look twice, a second apart.
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
                raise RemoveFailed(f"somebody else has been removing its container for {self._timeout:g} s")
            gevent.sleep(POLL_INTERVAL)
