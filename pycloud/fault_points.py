"""Named points at which a test may kill this process; inert unless PYCLOUD_FAULT names one.

May touch: nothing but its own process.
"""

from __future__ import annotations

import os
import signal

#: Read once: a create passes ten such points, and asking the environment took 2 % of the daemon's time for it.
_ACTIVE_FAULT = os.environ.get("PYCLOUD_FAULT")


def fault_point(name: str) -> None:
    """Die here by SIGKILL when the variable PYCLOUD_FAULT was ``name`` at the start, otherwise do nothing."""
    if name == _ACTIVE_FAULT:
        os.kill(os.getpid(), signal.SIGKILL)
