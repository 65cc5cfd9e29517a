"""Builds responses to requesters from the record of a session. Pure."""

from __future__ import annotations

import base64

from msgspec import UNSET

from pycloud.protocol.messages import CreateResponse, LogsResponse, StatusResponse
from pycloud.protocol.session import Session, State


def create_response(session: Session) -> CreateResponse:
    """The response to the create that made ``session``: the same at each repeat."""
    return CreateResponse(
        session.node,
        session.id,
        host=session.host,
        port=session.port,
        ports=dict(session.ports) or UNSET,
        state=State.RUNNING.value,
    )


def status_response(session: Session) -> StatusResponse:
    """The state of ``session``; end, exit code and reason only once it has ended."""
    over = session.state in (State.EXITED, State.FAILED)
    return StatusResponse(
        session.node,
        session.id,
        status=session.alive,
        state=session.state.value,
        host=session.host,
        port=session.port,
        ports=dict(session.ports) or UNSET,
        created=session.created,
        started=session.started,
        ended=session.ended if over else UNSET,
        exit_code=session.exit_code if over else UNSET,
        reason=session.reason if over and session.reason else UNSET,
        name=session.name or UNSET,
        labels=dict(session.labels) or UNSET,
    )


def logs_response(node: str, session: str, offset: int, data: bytes) -> LogsResponse:
    """Output as text where it is UTF-8, otherwise in base64.

    Where ``data`` begins within a UTF-8 character, that character is left out, and ``offset`` is advanced.
    """
    none = len(data) if len(data) < 4 else 0
    cut = next((i for i, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), none)
    try:
        text, encoding = data[cut:].decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding, cut = base64.b64encode(data).decode(), "base64", 0
    return LogsResponse(node, session, status=True, offset=offset + cut, data=text, encoding=encoding)
