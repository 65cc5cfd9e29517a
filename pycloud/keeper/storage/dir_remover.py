"""Removes directories: small ones at once, large ones in a thread beside the loop.

May touch: the paths that it is given.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from pycloud.keeper.storage import workdir

#: Called in the loop's thread with None when everything is removed, or with the error.
OnDone = Callable[[OSError | None], None]


class DirRemover:
    """Removes directories; the thread calls ``wake`` when there are results to ``collect``."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._jobs: SimpleQueue[tuple[Sequence[str], OnDone]] = SimpleQueue()
        self._finished: deque[tuple[OnDone, OSError | None]] = deque()
        self._thread: threading.Thread | None = None

    def remove(self, paths: Sequence[str], done: OnDone) -> None:
        """Remove ``paths`` with their contents; ``done`` may be called before this returns."""
        large = [path for path in paths if not workdir.remove_small(path)]
        if not large:
            done(None)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="remover", daemon=True)
            self._thread.start()
        self._jobs.put((large, done))

    def collect(self) -> None:
        """Call ``done`` for all removals that the thread has finished."""
        while self._finished:
            done, error = self._finished.popleft()
            done(error)

    def _work(self) -> None:
        while True:
            paths, done = self._jobs.get()
            self._finished.append((done, _remove(paths)))
            self._wake()


def _remove(paths: Sequence[str]) -> OSError | None:
    try:
        for path in paths:
            workdir.remove(path)
    except OSError as error:
        return error
    return None
