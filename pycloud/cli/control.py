"""``--stop`` and ``--status``: commands on a running daemon, through its pid file.

No Redis. Only the process that holds the lock is signalled. Sessions that are to end with the daemon are ended by their
runtimes (``end_all``).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from pycloud.cli.daemonize import wait_gone
from pycloud.cli.pidfile import Holder, PermissionDenied, holder
from pycloud.config import Config
from pycloud.errors import PyCloudError

#: Exit codes of --status, as for init scripts (Linux Standard Base): running, not running, unknown.
RUNNING, NOT_RUNNING, UNKNOWN = 0, 3, 4
#: Seconds between two progress messages while waiting.
_MESSAGE_INTERVAL = 2.0


def status(config: Config) -> int:
    """Print whether the daemon runs; returns RUNNING, NOT_RUNNING or UNKNOWN as exit code."""
    try:
        found = holder(config.pid_file)
    except PermissionDenied as error:
        print(f"pycloud: {error.message}", file=sys.stderr)
        return UNKNOWN
    if found is None:
        print(f"pycloud is not running (pid file {config.pid_file})")
        return NOT_RUNNING
    pid = f": pid {found.pid}" if found.pid else ", its pid is unknown, perhaps it runs in another PID namespace"
    print(f"pycloud is running{pid}")
    return RUNNING


def stop(config: Config) -> int:
    """Stop the daemon and wait for its end; with ``on_stop = "remove"`` then also end the sessions that exist.

    Returns exit code 0 when something was ended, 1 when nothing was running. Raises PyCloudError where the daemon may
    not be signalled or does not stop in time, or where sessions cannot be ended.
    """
    found = holder(config.pid_file)
    if found is not None:
        stop_holder(found, config.pid_file, timeout=config.start_timeout + config.stop_grace)
        print(f"pycloud has stopped (it was pid {found.pid})")
    ended = None
    if config.on_stop == "remove":
        from pycloud.runtimes import factory  # loads the runtimes, which the other commands do not need

        ended = factory.end_all(config)
    if ended:
        print(f"sessions ended: {ended}")
    if found is None and ended is None:
        print(f"pycloud is not running (pid file {config.pid_file})", file=sys.stderr)
        return 1
    return 0


def stop_holder(found: Holder, pid_file: Path, timeout: float) -> None:
    """Send SIGTERM to the holder of this pid file, then wait for its end, for at most ``timeout`` seconds.

    Raises PyCloudError where it is not visible from here, may not be signalled, or does not stop in time.
    """
    if found.pid is None:
        raise PyCloudError(
            f"{pid_file} is locked by an unknown process, perhaps in another PID namespace: stop it where it runs"
        )
    try:
        pidfd = os.pidfd_open(found.pid)
    except ProcessLookupError:
        return  # it has just ended
    try:
        # Checked again now that the descriptor is open: from here on the pid cannot be reused by another process.
        if holder(pid_file) == found:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            _wait_with_messages(pidfd, found.pid, timeout)
    except ProcessLookupError:
        return  # it ended before the signal arrived
    except PermissionError:
        raise PyCloudError(f"permission denied to stop pid {found.pid}: it belongs to another user; use sudo") from None
    finally:
        os.close(pidfd)


def _wait_with_messages(pidfd: int, pid: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not wait_gone(pidfd, min(_MESSAGE_INTERVAL, max(0.0, deadline - time.monotonic()))):
        if time.monotonic() >= deadline:
            raise PyCloudError(f"pid {pid} has not stopped within {timeout:g} s: see its log, or run kill -9 {pid}")
        print(f"waiting for pid {pid} to stop...", file=sys.stderr, flush=True)
