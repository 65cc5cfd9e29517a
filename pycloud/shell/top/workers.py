"""Threads of ``top``: what takes time is done here, so that keys wait for nothing."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from pycloud.shell.live.feed import LiveState
from pycloud.shell.live.health import error_message
from pycloud.shell.live.session_cache import SessionsSnapshot
from pycloud.shell.top.table import Table, TableQuery, build_table

#: Seconds between two looks at what is new.
POLL_INTERVAL = 1.0
#: Seconds that a log may take, and how much of it is fetched: what a screen can hold.
LOG_TIMEOUT, LOG_BYTES = 3.0, 16 * 1024
#: Seconds that a thread has to end; what it waits for may take longer, and harms nobody.
JOIN_TIMEOUT = 0.1


class Worker(ABC):
    """A thread that does something again and again within a ``with`` block. ``failed`` gets what went wrong."""

    def __init__(self, on_error: Callable[[str], None]) -> None:
        self._on_error, self._wake, self._stopping = on_error, threading.Event(), False
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
        self._stopping = True
        self.wake()
        self._thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.work()
            except Exception as error:
                if not self._stopping:
                    self._on_error(error_message(error))
            self._wake.wait(POLL_INTERVAL)
            self._wake.clear()


class SortWorker(Worker):
    """Filters and sorts; ``publish`` gets each new table, and None each TICK in which there is none."""

    def __init__(
        self, live_state: LiveState, publish: Callable[[Table | None], None], on_error: Callable[[str], None]
    ) -> None:
        super().__init__(on_error)
        self._live_state, self._publish = live_state, publish
        self._query = TableQuery()
        self._last: tuple[SessionsSnapshot | None, TableQuery] = (None, self._query)

    def set_query(self, query: TableQuery) -> None:
        """Somebody wants to see something else."""
        if query != self._query:
            self._query = query
            self.wake()

    def on_first_data(self) -> None:
        """The feed has something new: the first pictures are worth no waiting."""
        if not self._live_state.sessions.complete or self._last[0] is None:
            self.wake()

    def work(self) -> None:
        """See Worker."""
        inputs = (self._live_state.sessions, self._query)
        if inputs[0] is self._last[0] and inputs[1] == self._last[1]:
            self._publish(None)
            return
        self._publish(build_table(inputs[0].records.values(), inputs[1]))
        self._last = inputs


class LogWorker(Worker):
    """Reads the log of one session after another. ``fetch`` returns the newest output of one."""

    def __init__(self, fetch: Callable[[str], bytes], publish: Callable[[str, Sequence[str]], None]) -> None:
        super().__init__(self._show_error)
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

    def _show_error(self, error: str) -> None:
        """Below what was read before, which is still worth reading."""
        session, lines = self._last
        self._publish(self._session, [*(lines if session == self._session else []), f"[{error}]"])


class RemovalWorker(Worker):
    """Removes sessions, one after the other. ``remove`` does it, and returns what is to be said."""

    def __init__(self, remove: Callable[[str], str], show_message: Callable[[str], None]) -> None:
        super().__init__(show_message)
        self._remove, self._show_message, self._sessions = remove, show_message, queue.SimpleQueue[str]()

    def add(self, session: str) -> None:
        """One more."""
        self._sessions.put(session)
        self.wake()

    def work(self) -> None:
        """See Worker."""
        while not self._sessions.empty():
            self._show_message(self._remove(self._sessions.get()))
