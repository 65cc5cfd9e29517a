"""The runtimes, which run sessions: the contract (``base``), a composite of several (``composite``), and the runtimes.

Nothing here uses Redis or requests. Start with ``base.py``.
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
