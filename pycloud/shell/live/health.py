"""Whether Redis responds, and which nodes are online. Pure; times are in monotonic seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from pycloud.client.errors import Unsettled
from pycloud.client.health import HealthSnapshot
from pycloud.errors import PyCloudError
from pycloud.protocol.messages import Heartbeat


@dataclass(frozen=True)
class Health:
    """``up``: whether Redis responds, None before the first attempt. ``error``: why it does not. ``since``: last change
    of ``up``, in monotonic seconds.

    ``snapshot``: the last one read; while Redis is down, the last one before the outage.
    """

    up: bool | None = None
    error: str = ""
    since: float = 0.0
    snapshot: HealthSnapshot = field(default_factory=lambda: HealthSnapshot(0.0))

    def after_snapshot(self, snapshot: HealthSnapshot, now: float) -> Health:
        """The health after a successful read at ``now``."""
        return Health(True, "", self.since if self.up else now, snapshot)

    def after_outage(self, error: str, now: float) -> Health:
        """The health after a failed read at ``now``; keeps the last snapshot."""
        return replace(self, up=False, error=error, since=self.since if self.up is False else now)

    @property
    def nodes(self) -> Mapping[str, Heartbeat]:
        """The last heartbeat of each online node, by node id."""
        return {heartbeat.id: heartbeat for heartbeat in self.snapshot.heartbeats}


def error_message(error: Exception) -> str:
    """The text for an error that does not end the program; an unexpected exception (a bug) is shown with its type."""
    if isinstance(error, Unsettled):
        return error.reason
    return error.message if isinstance(error, PyCloudError) else f"{type(error).__name__}: {error}"


def redis_address(url: str) -> str:
    """``host:port`` or socket path of a Redis URL, for display: without user and password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
