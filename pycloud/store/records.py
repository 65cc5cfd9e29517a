"""The Redis hash of a session, and the response that another node builds from it while the owner is offline. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET, UnsetType, json

from pycloud.protocol.messages import StatusResponse
from pycloud.protocol.session import LIVE, Session, State

#: Milliseconds after which a session's record expires; its node rewrites it long before.
RECORD_TTL = 86_400_000


def record_ttl(session: Session, retention: float) -> int:
    """Milliseconds until a record expires: RECORD_TTL, or ``retention`` (s) for an ended session.

    At least 1: Redis deletes a key whose TTL is 0.
    """
    return RECORD_TTL if session.ended is None else max(1, int(retention * 1000))


def record_of(session: Session) -> list[str]:
    """The fields and values of a session's hash, alternating; fields without a value are left out."""
    fields = {
        "cloud": session.node,
        "state": session.state.value,
        "host": session.host,
        "port": session.port,
        "ports": json.encode(session.ports).decode() if session.ports else None,
        "created": session.created,
        "started": session.started,
        "ended": session.ended,
        "exit_code": session.exit_code,
        "reason": session.reason,
        "request": session.request,
        "runtime": session.runtime,
        "name": session.name,
        "labels": json.encode(session.labels).decode() if session.labels else None,
    }
    return [str(part) for pair in fields.items() if pair[1] is not None for part in pair]


def stale_response(node: str, session: str, record: Mapping[str, str], *, lost: bool) -> StatusResponse:
    """The response of ``node`` for another node's session: its last known state.

    ``lost``: the owner counts as lost, so a live state is replaced by ``lost``.
    """
    state = record.get("state", State.LOST.value)
    if lost and state in LIVE:
        state = State.LOST.value
    ended = state in (State.EXITED, State.FAILED)
    port, ports, code = record.get("port"), record.get("ports"), record.get("exit_code")
    return StatusResponse(
        node,
        session,
        status=state in LIVE,
        state=state,
        host=record.get("host", UNSET),
        port=int(port) if port else None,
        ports=json.decode(ports, type=dict[str, int]) if ports else UNSET,
        created=_number(record.get("created")),
        started=_number(record.get("started")),
        ended=_number(record.get("ended")) if ended else UNSET,
        exit_code=(int(code) if code else None) if ended else UNSET,
        reason=record.get("reason", UNSET) if ended else UNSET,
        stale=True,
        name=record.get("name", UNSET),
        labels=parse_labels(record) or UNSET,
    )


def parse_labels(record: Mapping[str, str]) -> dict[str, str]:
    """The labels in the hash of a session."""
    return json.decode(record.get("labels") or "{}", type=dict[str, str])


def _number(text: str | None) -> float | UnsetType:
    return float(text) if text else UNSET
