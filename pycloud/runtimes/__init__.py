"""What runs sessions: the contract (``base``), several runtimes as one (``composite``), and the runtimes themselves.

Nothing here knows Redis or requests. Start with ``base.py``.
"""

from pycloud.runtimes.base import Exit, Found, Order, Phase, Piece, Progress, Reader, Runtime, Start, Started, Usage

__all__ = [
    "Exit",
    "Found",
    "Order",
    "Phase",
    "Piece",
    "Progress",
    "Reader",
    "Runtime",
    "Start",
    "Started",
    "Usage",
]
