"""The events of this node's containers: one stream for all of them, followed until the daemon stops."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import docker
import gevent

from pycloud.errors import EngineUnavailable
from pycloud.runtimes.docker.engine.client import NO_TIMEOUT, EngineClient
from pycloud.runtimes.docker.engine.errors import EngineError
from pycloud.runtimes.docker.spec.container import NODE_LABEL, SESSION_ID_LABEL

log = logging.getLogger(__name__)

CREATE, START, OOM, DIE, DESTROY = ACTIONS = ("create", "start", "oom", "die", "destroy")
#: Seconds before the stream is reopened after its end, and after an error.
REOPEN_DELAY, ERROR_DELAY = 0.1, 5.0


@dataclass(frozen=True)
class ContainerEvent:
    """An event of a session's container. ``at``: Unix seconds; ``exit_code`` is set where it died."""

    session: str
    action: str
    at: float
    exit_code: int | None


class EventStream:
    """Follows events. ``on_event`` is called with each; ``on_connect`` first, where some may have been missed."""

    def __init__(
        self,
        engine: EngineClient,
        node: str,
        on_connect: Callable[[], None],
        on_event: Callable[[ContainerEvent], None],
    ) -> None:
        self._engine, self._node = engine, node
        self._on_connect, self._on_event = on_connect, on_event
        self._since = 0  # nanoseconds, by the engine's clock
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Start following the stream."""
        self._greenlet = gevent.spawn(self._follow_for_ever)

    def stop(self) -> None:
        """Stop following the stream."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def _follow_for_ever(self) -> None:
        while True:
            self._engine.connected.wait()
            try:
                self._engine.run(self._follow, NO_TIMEOUT)
            except EngineUnavailable as error:
                log.debug("the event stream was interrupted: %s", error)
            except EngineError as refusal:
                log.error("the container engine rejected the request for events: %s", refusal)
                gevent.sleep(ERROR_DELAY)
            except Exception:
                log.exception("the event stream of the container engine failed; trying again")
                gevent.sleep(ERROR_DELAY)
            # An engine that stops or restarts ends the stream like a complete one.
            self._engine.mark_suspect()
            gevent.sleep(REOPEN_DELAY)

    def _follow(self, client: docker.APIClient) -> None:
        self._since = self._since or int(self._engine.engine_connected_at * 1e9)
        filters = {"type": "container", "label": f"{NODE_LABEL}={self._node}", "event": list(ACTIONS)}
        since = f"{self._since // 10**9}.{self._since % 10**9:09}"
        stream = client.events(since=since, filters=filters, decode=True)
        self._on_connect()
        for raw in stream:
            self._since = max(self._since, int(raw.get("timeNano") or 0))
            if event := parse_event(raw):
                self._on_event(event)


def parse_event(raw: Mapping[str, Any]) -> ContainerEvent | None:
    """Parse an event in the engine's format; None where it is irrelevant or invalid."""
    attributes = raw.get("Actor", {}).get("Attributes") or {}
    if SESSION_ID_LABEL not in attributes or raw.get("Action") not in ACTIONS:
        return None
    code = str(attributes.get("exitCode", ""))
    at = int(raw.get("timeNano") or 0) / 1e9
    return ContainerEvent(attributes[SESSION_ID_LABEL], raw["Action"], at, int(code) if code.isdigit() else None)
