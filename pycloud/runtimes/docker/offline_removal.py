"""Ends the container sessions of a data directory without a daemon (``--stop`` with ``--on-stop remove``).

May touch: the engine's socket, and the records in the data directory. Works without gevent's monkey patching.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import docker
from docker.errors import DockerException, NotFound
from requests import RequestException

from pycloud.errors import PyCloudError
from pycloud.runtimes.docker.engine.listing import containers_by_session, owned_containers
from pycloud.runtimes.docker.records import decode
from pycloud.runtimes.docker.spec.container import NODE_LABEL

#: Seconds beyond its grace that each may take, and how many are ended in parallel.
TIMEOUT, MAX_PARALLEL = 60.0, 16


def remove_all(engine: str, node: str, records: Path, grace: float) -> int:
    """End and remove the containers of ``node``, each with ``grace`` seconds, and its records; return their number.

    Raises PyCloudError where the engine does not respond, or rejects the calls.
    """
    try:
        client = docker.APIClient(base_url=engine, version="auto", timeout=math.ceil(grace + TIMEOUT))
        try:
            containers = client.containers(all=True, filters={"label": f"{NODE_LABEL}={node}"})
            found = owned_containers(containers_by_session(containers, node).values(), _recorded_ids(records))
            with ThreadPoolExecutor(MAX_PARALLEL) as pool:
                list(pool.map(partial(_stop_and_remove, client, grace), [each.id for each in found]))
        finally:
            client.close()
    except (DockerException, RequestException, OSError) as error:
        raise PyCloudError(f"the container sessions of node {node} cannot be ended: {error}") from error
    for record in records.glob("*.json"):
        record.unlink(missing_ok=True)
    return len(found)


def _recorded_ids(records: Path) -> set[str | None]:
    """Return the ids of the containers in the records."""
    found: set[str | None] = set()
    for path in records.glob("*.json"):
        with suppress(OSError, ValueError):
            found.add(decode(path.read_bytes()).container)
    return found


def _stop_and_remove(client: docker.APIClient, grace: float, container: str) -> None:
    with suppress(NotFound):
        client.stop(container, timeout=math.ceil(grace))
        client.remove_container(container, v=True, force=True)
