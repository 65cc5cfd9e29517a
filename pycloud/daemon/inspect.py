"""Answers ``inspect`` with all that is known of a session; its resource usage is measured only then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gevent
import msgspec
from msgspec import UNSET

from pycloud.errors import RequestError
from pycloud.protocol.messages import InspectResponse, ResourceUsage
from pycloud.protocol.requests import InspectRequest
from pycloud.protocol.responses import status_response
from pycloud.protocol.session import Session
from pycloud.runtimes import Usage
from pycloud.sessions.manager import SessionManager

#: Seconds over which CPU time is measured: long enough for ticks of 10 ms, short enough for a waiting requester.
SAMPLE_INTERVAL = 0.25


class Inspector:
    """Handles ``inspect`` requests. ``pause`` waits for a number of seconds."""

    def __init__(self, manager: SessionManager, pause: Callable[[float], object] = gevent.sleep) -> None:
        self._manager, self._pause = manager, pause

    def inspect(self, request: InspectRequest) -> None:
        """Answer with the state, usage and details of one session."""
        session = self._manager.sessions.get(request.session)
        if session is None:
            response = InspectResponse(self._manager.identity.id, request.session, status=False)
        else:
            response = self._inspect_session(session)
        self._manager.request_store.publish_response(request.op, request.id, response)

    def _inspect_session(self, session: Session) -> InspectResponse:
        details: Mapping[str, Any] = {}
        figures: ResourceUsage | None = None
        problem = ""
        try:
            details = self._manager.runtime.details(session.id)
            figures = self._measure(session)
        except RequestError as error:
            problem = error.message
        return InspectResponse(
            **msgspec.structs.asdict(status_response(session)),  # read last: it may have ended meanwhile
            request=session.request,
            runtime=session.runtime,
            time=self._manager.now(),
            figures=figures if figures and session.alive else UNSET,
            trouble=problem or UNSET,
            details=dict(details),
        )

    def _measure(self, session: Session) -> ResourceUsage | None:
        if not session.alive or (first := self._manager.runtime.usage(session.id)) is None:
            return None
        self._pause(SAMPLE_INTERVAL)
        second = self._manager.runtime.usage(session.id)
        return None if second is None else figures_of(first, second, session.started, self._manager.now())


def figures_of(first: Usage, second: Usage, started: float | None, now: float) -> ResourceUsage:
    """The resource usage from two samples; ``started`` and ``now`` in Unix seconds.

    CPU time may shrink between the two: that of a process without a parent that waits for it is lost with it.
    """
    elapsed = second.at - first.at
    percent = 100 * max(0.0, second.cpu - first.cpu) / elapsed if elapsed > 0 else 0.0
    uptime = None if started is None else round(max(0.0, now - started), 3)
    return ResourceUsage(round(percent, 1), round(second.cpu, 3), second.memory, second.processes, uptime)
