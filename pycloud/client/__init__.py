"""The blocking Python client: starts sessions on PyCloud nodes, queries them, ends them.

A documented library (docs/client.md) and the basis of ``pycloudctl``. Loads neither gevent nor docker, and
imports nothing of the daemon: only ``protocol``, ``transport``, ``errors`` and the default URL in ``config``. Start
with ``client.py``.
"""

from typing import TYPE_CHECKING, Any

from pycloud.client.client import Client
from pycloud.client.deprecated import load_renamed
from pycloud.client.errors import (
    NoAnswer,
    NoCloud,
    NotEnded,
    NotFound,
    RedisLost,
    RequestRefused,
    Unsettled,
    UnusableAnswer,
)
from pycloud.client.records import KnownNode, SessionRecord
from pycloud.client.request import Answer, Created
from pycloud.errors import PyCloudError, RedisUnavailable

__all__ = [
    "Answer",
    "Client",
    "Created",
    "Ended",
    "HealthSnapshot",
    "KnownNode",
    "NoAnswer",
    "NoCloud",
    "NotEnded",
    "NotFound",
    "Output",
    "PyCloudError",
    "RedisLost",
    "RedisUnavailable",
    "RequestRefused",
    "SessionRecord",
    "Skipped",
    "Unsettled",
    "UnusableAnswer",
]


if TYPE_CHECKING:
    from pycloud.client.health import HealthSnapshot
    from pycloud.client.logs import Ended, Output, Skipped
else:

    def __getattr__(name: str) -> Any:
        """Names that are loaded only when they are used, and names of earlier versions, which warn."""
        if name in ("Output", "Skipped", "Ended"):
            from pycloud.client import logs

            return getattr(logs, name)
        if name == "HealthSnapshot":
            from pycloud.client.health import HealthSnapshot

            return HealthSnapshot
        return load_renamed(__name__, name)
