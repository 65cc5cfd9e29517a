"""Tells when files grow, at no cost while they do not: the kernel's inotify, watched by one greenlet for all.

May touch: its own descriptor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import gevent
from gevent.socket import wait_read

from pycloud.keeper.system.inotify import ANY, Watches

log = logging.getLogger(__name__)

#: Called once, when the file was written to.
Tell = Callable[[], None]


class Growth:
    """One for all files that somebody reads. Holds nothing until it is used."""

    def __init__(self) -> None:
        self._watches: Watches | None = None
        self._waiting: dict[int, set[Tell]] = {}
        self._greenlet: gevent.Greenlet | None = None

    def await_next(self, path: Path, tell: Tell) -> int | None:
        """Have ``tell`` called at the next write; what names the wait. None where the kernel gives no watch.

        Raises FileNotFoundError.
        """
        if self._watches is None:
            self._watches = Watches()
            if self._watches.descriptor is not None:
                self._greenlet = gevent.spawn(self._listen, self._watches, self._watches.descriptor)
        try:
            watch = self._watches.add(str(path))
        except FileNotFoundError:
            raise
        except OSError as error:
            log.debug("no watch for %s: %s", path, error)
            return None
        self._waiting.setdefault(watch, set()).add(tell)
        return watch

    def cancel(self, watch: int | None, tell: Tell) -> None:
        """Wait no more, where that is not over already."""
        waiting = self._waiting.get(watch) if watch is not None else None
        if watch is None or waiting is None or self._watches is None:
            return
        waiting.discard(tell)
        if not waiting:
            del self._waiting[watch]
            self._watches.remove(watch)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._greenlet is not None:
            self._greenlet.kill()
        if self._watches is not None:
            self._watches.close()
        self._waiting.clear()
        self._watches = self._greenlet = None

    def _listen(self, watches: Watches, descriptor: int) -> None:
        while True:
            wait_read(descriptor)
            for fired in watches.fired():
                for watch in list(self._waiting) if fired == ANY else [fired]:
                    for tell in self._waiting.pop(watch, ()):
                        tell()
