"""Heartbeats as nodes send them, made up."""

from __future__ import annotations

from pycloud.protocol.messages import Heartbeat

#: Seconds from one heartbeat to the next, unless a test says otherwise.
INTERVAL = 1.0


def heartbeat_of(node: str, **fields: object) -> Heartbeat:
    """A heartbeat of ``node``, as good as any unless ``fields`` say otherwise."""
    known: dict[str, object] = {
        "score": 1.0,
        "time": 0.0,
        "sessions": 0,
        "instance": "i",
        "version": "2",
        "host": "h",
        "runtime": "script",
        "heartbeat": INTERVAL,
    }
    return Heartbeat(id=node, **{**known, **fields})  # type: ignore[arg-type]
