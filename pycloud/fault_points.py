"""Named points at which a test may kill this process; inert unless PYCLOUD_FAULT names one.

May touch: nothing but its own process.
"""

from __future__ import annotations

import os
import signal

#: Read once at import: creating a session passes ten fault points, and reading the environment at each of them took 2 %
#: of the daemon's CPU time.
_ACTIVE_FAULT = os.environ.get("PYCLOUD_FAULT")


def fault_point(name: str) -> None:
    """Kill this process with SIGKILL if PYCLOUD_FAULT equalled ``name`` at import; otherwise do nothing."""
    if name == _ACTIVE_FAULT:
        os.kill(os.getpid(), signal.SIGKILL)
