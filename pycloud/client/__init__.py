"""The blocking Python client: start sessions on a PyCloud, ask about them, end them.

A documented library (README.md, "As a library") and what ``pycloudctl`` is made of. Loads neither gevent nor docker,
and imports nothing of the daemon: ``protocol``, ``transport`` and ``errors`` only. Start with ``client.py``.
"""

from pycloud.client.answer import Answer, Created
from pycloud.client.client import Client
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
from pycloud.client.records import SessionRecord
from pycloud.errors import PyCloudError, RedisUnavailable

__all__ = [
    "Answer",
    "Client",
    "Created",
    "NoAnswer",
    "NoCloud",
    "NotEnded",
    "NotFound",
    "PyCloudError",
    "RedisLost",
    "RedisUnavailable",
    "RequestRefused",
    "SessionRecord",
    "Unsettled",
    "UnusableAnswer",
]
