"""Watches the private Redis while the daemon runs, and starts it again when it dies.

Works in a patched process, where its thread is a greenlet, and in a plain one. Imported after patching only.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from types import TracebackType

from pycloud.cli.embedded_server import EmbeddedRedis
from pycloud.errors import EmbeddedRedisError

log = logging.getLogger(__name__)

#: Seconds between two attempts to start it again.
MIN_BACKOFF, MAX_BACKOFF = 0.1, 10.0


class RedisSupervisor:
    """For the time of a ``with`` block, a server that was started is kept running."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self._server = server
        self._stop = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._watch, name="private Redis", daemon=True)

    def __enter__(self) -> RedisSupervisor:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._wait_for_exit()
            if not self._stop.is_set():
                log.warning("the private Redis has died (%s): starting it again", self._server.exit_description())
                self._restart()

    def _wait_for_exit(self) -> None:
        """Return when the server is dead or the guard is stopped."""
        pid = self._server.pid
        if pid is None:
            return
        pidfd = os.pidfd_open(pid)  # our own child, not waited for yet: the number is still its own
        try:
            poll = select.poll()
            for fd in (pidfd, self._wake):
                poll.register(fd, select.POLLIN)
            poll.poll()
        finally:
            os.close(pidfd)

    def _restart(self) -> None:
        backoff, logged = MIN_BACKOFF, False
        while not self._stop.is_set():
            try:
                self._server.start()
            except (EmbeddedRedisError, OSError) as error:
                if not logged:
                    log.error("the private Redis cannot be started, will try on: %s", error)
                logged = True
                self._stop.wait(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)
            else:
                log.info("the private Redis runs again (pid %s)", self._server.pid)
                return
