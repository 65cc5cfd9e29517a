"""Reports growth of files, without cost while there is none: inotify, watched by one greenlet for all files.

May touch: its own descriptor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import gevent
from gevent.socket import wait_read

from pycloud.keeper.system.inotify import ANY_WATCH, InotifyWatcher

log = logging.getLogger(__name__)

#: Called once, when the file was written to.
Callback = Callable[[], None]


class FileWatcher:
    """Watches all files that are being read. Opens no descriptor until it is used."""

    def __init__(self) -> None:
        self._watches: InotifyWatcher | None = None
        self._callbacks: dict[int, set[Callback]] = {}
        self._greenlet: gevent.Greenlet | None = None

    def notify_on_write(self, path: Path, callback: Callback) -> int | None:
        """Have ``callback`` called at the next write; return the watch, or None where inotify cannot watch the file.

        Raises FileNotFoundError.
        """
        if self._watches is None:
            self._watches = InotifyWatcher()
            if self._watches.descriptor is not None:
                self._greenlet = gevent.spawn(self._listen, self._watches, self._watches.descriptor)
        try:
            watch = self._watches.add(str(path))
        except FileNotFoundError:
            raise
        except OSError as error:
            log.debug("%s cannot be watched for changes: %s", path, error)
            return None
        self._callbacks.setdefault(watch, set()).add(callback)
        return watch

    def cancel(self, watch: int | None, callback: Callback) -> None:
        """Cancel a watch for ``callback``, if it has not fired yet."""
        callbacks = self._callbacks.get(watch) if watch is not None else None
        if watch is None or callbacks is None or self._watches is None:
            return
        callbacks.discard(callback)
        if not callbacks:
            del self._callbacks[watch]
            self._watches.remove(watch)

    def close(self) -> None:
        """Stop watching all files."""
        if self._greenlet is not None:
            self._greenlet.kill()
        if self._watches is not None:
            self._watches.close()
        self._callbacks.clear()
        self._watches = self._greenlet = None

    def _listen(self, watches: InotifyWatcher, descriptor: int) -> None:
        while True:
            wait_read(descriptor)
            for fired in watches.read_events():
                for watch in list(self._callbacks) if fired == ANY_WATCH else [fired]:
                    for callback in self._callbacks.pop(watch, ()):
                        callback()
