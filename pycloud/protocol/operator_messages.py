"""Messages that an operator's commands are made of: for one cloud alone, about itself or closely about a session.

Pure. Read through ``messages.py``, which has all messages.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from pycloud.protocol.message_parts import COMPUTED, ErrorBody


class InspectRequest(msgspec.Struct, frozen=True):
    """Tell all that its cloud knows of ``session``, and what it uses just now."""

    op: ClassVar[str] = "inspect"
    direct_only: ClassVar[bool] = True
    id: str
    session: str
    digest: str = COMPUTED


class DrainRequest(msgspec.Struct, frozen=True):
    """Take nothing new from now on (``draining``), or take it again. ``cloud``: whom this is for, to be sure of it."""

    op: ClassVar[str] = "drain"
    direct_only: ClassVar[bool] = True
    #: It names none.
    session: ClassVar[str] = ""
    id: str
    draining: bool
    cloud: str | None = None
    digest: str = COMPUTED


class DrainResponse(msgspec.Struct, frozen=True):
    """``status`` is true when it is done; ``id`` is the cloud's. ``sessions``: how many live there, or are about to.

    ``kept``: false where it could not be written down (a full disk), so that a restart of the daemon forgets it.
    """

    cloud: str
    id: str
    status: bool
    draining: bool | UnsetType = UNSET
    sessions: int | UnsetType = UNSET
    kept: bool | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


class ResourceUsage(msgspec.Struct, frozen=True):
    """What a session uses. ``memory``: bytes. ``uptime``: seconds since it runs.

    ``cpu_percent``: of one processor, over a moment (200: two of them busy); ``cpu_seconds``: since its start.
    """

    cpu_percent: float
    cpu_seconds: float
    memory: int
    processes: int
    uptime: float | None = None
