"""Whether Redis answers, and which clouds live. Pure; times are of the monotonic clock."""

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
    """``up`` is None until Redis was tried once, ``trouble`` why it does not answer. ``since``: when that changed last.

    ``pulse`` is the last one; where Redis is down it is that of better times.
    """

    up: bool | None = None
    error: str = ""
    since: float = 0.0
    snapshot: HealthSnapshot = field(default_factory=lambda: HealthSnapshot(0.0))

    def after_snapshot(self, snapshot: HealthSnapshot, now: float) -> Health:
        """Redis has answered."""
        return Health(True, "", self.since if self.up else now, snapshot)

    def after_outage(self, error: str, now: float) -> Health:
        """Redis has not."""
        return replace(self, up=False, error=error, since=self.since if self.up is False else now)

    @property
    def nodes(self) -> Mapping[str, Heartbeat]:
        """The last rank of each cloud that lives, by id."""
        return {heartbeat.id: heartbeat for heartbeat in self.snapshot.heartbeats}


def error_message(error: Exception) -> str:
    """What is said of an error where it ends nothing; one that is a bug is named."""
    if isinstance(error, Unsettled):
        return error.reason
    return error.message if isinstance(error, PyCloudError) else f"{type(error).__name__}: {error}"


def redis_address(url: str) -> str:
    """Where a Redis is, short enough to be shown all the time: never with a user or a password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
