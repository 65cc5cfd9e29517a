"""All that is known of a session, for whoever asks: what it uses is measured only then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gevent
import msgspec
from msgspec import UNSET

from pycloud.errors import RequestError
from pycloud.protocol.messages import Figures, InspectRequest, InspectResponse
from pycloud.protocol.responses import status_response
from pycloud.protocol.session import Session
from pycloud.runtimes import Usage
from pycloud.sessions.manager import Cloud

#: Seconds over which CPU time is measured: long enough for ticks of 10 ms, short enough for whoever waits.
MOMENT = 0.25


class Inspector:
    """Answers ``inspect``. ``pause`` waits so many seconds."""

    def __init__(self, cloud: Cloud, pause: Callable[[float], object] = gevent.sleep) -> None:
        self._cloud, self._pause = cloud, pause

    def inspect(self, request: InspectRequest) -> None:
        """Look at one session, and answer."""
        session = self._cloud.sessions.get(request.session)
        if session is None:
            response = InspectResponse(self._cloud.identity.id, request.session, status=False)
        else:
            response = self._look(session)
        self._cloud.ledger.answer(request.op, request.id, response)

    def _look(self, session: Session) -> InspectResponse:
        details: Mapping[str, Any] = {}
        figures: Figures | None = None
        trouble = ""
        try:
            details = self._cloud.runtime.details(session.id)
            figures = self._measure(session)
        except RequestError as error:
            trouble = error.message
        return InspectResponse(
            **msgspec.structs.asdict(status_response(session)),  # taken last: it may have ended meanwhile
            request=session.request,
            runtime=session.runtime,
            time=self._cloud.now(),
            figures=figures if figures and session.alive else UNSET,
            trouble=trouble or UNSET,
            details=dict(details),
        )

    def _measure(self, session: Session) -> Figures | None:
        if not session.alive or (first := self._cloud.runtime.usage(session.id)) is None:
            return None
        self._pause(MOMENT)
        second = self._cloud.runtime.usage(session.id)
        return None if second is None else figures_of(first, second, session.started, self._cloud.now())


def figures_of(first: Usage, second: Usage, started: float | None, now: float) -> Figures:
    """What two looks come to; ``started`` and ``now`` in Unix seconds.

    CPU time may shrink between the two: that of a process which nobody waits for goes with it.
    """
    passed = second.at - first.at
    percent = 100 * max(0.0, second.cpu - first.cpu) / passed if passed > 0 else 0.0
    uptime = None if started is None else round(max(0.0, now - started), 3)
    return Figures(round(percent, 1), round(second.cpu, 3), second.memory, second.processes, uptime)
