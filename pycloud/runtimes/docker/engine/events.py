"""What happens to this cloud's containers: one stream of events for all of them, followed for ever."""

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
#: Seconds before the stream is opened again after it ended, and after the engine refused it.
REOPEN_DELAY, ERROR_DELAY = 0.1, 5.0


@dataclass(frozen=True)
class ContainerEvent:
    """Something happened to a session's container. ``at``: Unix seconds; ``exit_code`` where it died."""

    session: str
    action: str
    at: float
    exit_code: int | None


class EventStream:
    """``on_event`` gets each event; ``on_connect`` is called where some may have been missed, before those to come."""

    def __init__(
        self,
        engine: EngineClient,
        node: str,
        on_connect: Callable[[], None],
        on_event: Callable[[ContainerEvent], None],
    ) -> None:
        self._engine, self._node = engine, node
        self._on_connect, self._on_event = on_connect, on_event
        self._since = 0  # nanoseconds, of the engine's clock
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Follow the stream from now on."""
        self._greenlet = gevent.spawn(self._follow_for_ever)

    def stop(self) -> None:
        """Follow it no longer."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def _follow_for_ever(self) -> None:
        while True:
            self._engine.connected.wait()
            try:
                self._engine.run(self._follow, NO_TIMEOUT)
            except EngineUnavailable as error:
                log.debug("the stream of events broke: %s", error)
            except EngineError as refusal:
                log.error("the container engine gives no events: %s", refusal)
                gevent.sleep(ERROR_DELAY)
            except Exception:
                log.exception("events of the container engine could not be followed; trying again")
                gevent.sleep(ERROR_DELAY)
            # An engine that stops or starts anew ends the stream as if there were nothing more to say.
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
    """An event as the engine writes it; None where it makes no sense to us."""
    attributes = raw.get("Actor", {}).get("Attributes") or {}
    if SESSION_ID_LABEL not in attributes or raw.get("Action") not in ACTIONS:
        return None
    code = str(attributes.get("exitCode", ""))
    at = int(raw.get("timeNano") or 0) / 1e9
    return ContainerEvent(attributes[SESSION_ID_LABEL], raw["Action"], at, int(code) if code.isdigit() else None)
