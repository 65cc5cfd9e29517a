"""``--stop`` and ``--status``: what one does with a daemon that runs already, through its pid file.

No gevent, no Redis. Nobody is signalled but the process that holds the lock.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from pycloud.config import Config
from pycloud.detach import wait_gone
from pycloud.errors import PyCloudError
from pycloud.pidfile import Holder, holder

#: Exit codes of --status, as init scripts have them (Linux Standard Base): running, not running.
RUNNING, NOT_RUNNING = 0, 3
#: After how many seconds people are told that they wait, and how often again.
_PATIENCE = 2.0


def status(config: Config) -> int:
    """Print whether the daemon runs; the exit code says it too."""
    found = holder(config.pid_file)
    if found is None:
        print(f"pycloud is not running (pid file {config.pid_file})")
        return NOT_RUNNING
    print(f"pycloud is running{f': pid {found.pid}' if found.pid else ', its pid cannot be seen from here'}")
    return RUNNING


def stop(config: Config) -> int:
    """Stop the daemon and wait for its end. Exit code 0 when it has ended, 1 when none was running.

    Raises PyCloudError when it may not be signalled, or goes on for too long.
    """
    found = holder(config.pid_file)
    if found is None:
        print(f"pycloud is not running (pid file {config.pid_file})", file=sys.stderr)
        return 1
    stop_holder(found, config.pid_file, patience=config.start_timeout + config.stop_grace)
    print(f"pycloud has stopped (it was pid {found.pid})")
    return 0


def stop_holder(found: Holder, pid_file: Path, patience: float) -> None:
    """SIGTERM to the holder of this pid file, then wait until it is gone, for ``patience`` seconds at most."""
    if found.pid is None:
        raise PyCloudError(f"{pid_file} is locked by a process that cannot be seen from here: stop it where it runs")
    try:
        pidfd = os.pidfd_open(found.pid)
    except ProcessLookupError:
        return  # it ended just now
    try:
        # Asked again now that the descriptor is open: from here on the pid cannot become somebody else's.
        if holder(pid_file) == found:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            _wait_patiently(pidfd, found.pid, patience)
    except ProcessLookupError:
        return  # it ended before the signal came
    except PermissionError:
        raise PyCloudError(f"may not stop pid {found.pid}: it belongs to another user (try sudo)") from None
    finally:
        os.close(pidfd)


def _wait_patiently(pidfd: int, pid: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    while not wait_gone(pidfd, min(_PATIENCE, max(0.0, deadline - time.monotonic()))):
        if time.monotonic() >= deadline:
            raise PyCloudError(f"pid {pid} has not stopped within {patience:g} s: see its log, or use kill -9 {pid}")
        print(f"waiting for pid {pid} to stop...", file=sys.stderr, flush=True)
