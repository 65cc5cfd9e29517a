"""Named points at which a test may kill this process; inert unless PYCLOUD_FAULT names one.

May touch: nothing but its own process.
"""

from __future__ import annotations

import os
import signal


def point(name: str) -> None:
    """Die here by SIGKILL when the variable PYCLOUD_FAULT is ``name``, otherwise do nothing."""
    if os.environ.get("PYCLOUD_FAULT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
