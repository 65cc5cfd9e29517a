"""Threads of ``top``: what takes time is done here, so that keys wait for nothing."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from pycloud.shell.live.feed import Feed
from pycloud.shell.live.health import trouble_of
from pycloud.shell.live.session_cache import Sessions
from pycloud.shell.top.table import Table, Wish, arrange

#: Seconds between two looks at what is new.
TICK = 1.0
#: Seconds that a log may take, and how much of it is fetched: what a screen can hold.
LOG_PATIENCE, LOG_BYTES = 3.0, 16 * 1024
#: Seconds that a thread has to end; what it waits for may take longer, and harms nobody.
FAREWELL = 0.1


class Worker(ABC):
    """A thread that does something again and again within a ``with`` block. ``failed`` gets what went wrong."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed, self._wake, self._over = failed, threading.Event(), False
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @abstractmethod
    def work(self) -> None:
        """Once; called when woken, and each TICK."""

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self.wake()
        self._thread.join(FAREWELL)

    def _run(self) -> None:
        while not self._over:
            try:
                self.work()
            except Exception as error:
                if not self._over:
                    self._failed(trouble_of(error))
            self._wake.wait(TICK)
            self._wake.clear()


class Arranger(Worker):
    """Filters and sorts; ``publish`` gets each new table, and None each TICK in which there is none."""

    def __init__(self, feed: Feed, publish: Callable[[Table | None], None], failed: Callable[[str], None]) -> None:
        super().__init__(failed)
        self._feed, self._publish = feed, publish
        self._wish = Wish()
        self._last: tuple[Sessions | None, Wish] = (None, self._wish)

    def want(self, wish: Wish) -> None:
        """Somebody wants to see something else."""
        if wish != self._wish:
            self._wish = wish
            self.wake()

    def first(self) -> None:
        """The feed has something new: the first pictures are worth no waiting."""
        if not self._feed.sessions.complete or self._last[0] is None:
            self.wake()

    def work(self) -> None:
        """See Worker."""
        picture = (self._feed.sessions, self._wish)
        if picture[0] is self._last[0] and picture[1] == self._last[1]:
            self._publish(None)
            return
        self._publish(arrange(picture[0].records.values(), picture[1]))
        self._last = picture


class LogReader(Worker):
    """Reads the log of one session after another. ``fetch`` returns the newest output of one."""

    def __init__(self, fetch: Callable[[str], bytes], publish: Callable[[str, Sequence[str]], None]) -> None:
        super().__init__(self._tell)
        self._fetch, self._publish, self._session = fetch, publish, ""
        self._last: tuple[str, list[str]] = ("", [])

    def show(self, session: str) -> None:
        """The log of this one is to be seen; empty: none."""
        if session != self._session:
            self._session = session
            self.wake()

    def work(self) -> None:
        """See Worker."""
        if session := self._session:
            text = self._fetch(session).decode(errors="replace")
            self._last = (session, [line.expandtabs() for line in text.splitlines()])
            self._publish(*self._last)

    def _tell(self, trouble: str) -> None:
        """Below what was read before, which is still worth reading."""
        session, lines = self._last
        self._publish(self._session, [*(lines if session == self._session else []), f"[{trouble}]"])


class Remover(Worker):
    """Removes sessions, one after the other. ``remove`` does it, and returns what is to be said."""

    def __init__(self, remove: Callable[[str], str], say: Callable[[str], None]) -> None:
        super().__init__(say)
        self._remove, self._say, self._sessions = remove, say, queue.SimpleQueue[str]()

    def add(self, session: str) -> None:
        """One more."""
        self._sessions.put(session)
        self.wake()

    def work(self) -> None:
        """See Worker."""
        while not self._sessions.empty():
            self._say(self._remove(self._sessions.get()))
