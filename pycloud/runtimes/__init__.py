"""What runs sessions: the contract (``base``), several runtimes as one (``composite``), and the runtimes themselves.

Nothing here knows Redis or requests. Start with ``base.py``.
"""

from pycloud.runtimes.base import (
    Exit,
    OutputChunk,
    OutputReader,
    Phase,
    PullProgress,
    ReadFrom,
    RecoveredSession,
    Runtime,
    SessionSpec,
    Started,
    Usage,
)

__all__ = [
    "Exit",
    "OutputChunk",
    "OutputReader",
    "Phase",
    "PullProgress",
    "ReadFrom",
    "RecoveredSession",
    "Runtime",
    "SessionSpec",
    "Started",
    "Usage",
]
