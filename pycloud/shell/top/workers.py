"""Worker threads of ``top`` for slow operations, so that key handling does not block."""

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

#: Seconds between two calls of ``work``.
POLL_INTERVAL = 1.0
#: Timeout of a log request in seconds, and bytes to fetch: enough for a screen.
LOG_TIMEOUT, LOG_BYTES = 3.0, 16 * 1024
#: Seconds to wait for a thread at the end; one that still waits for a response does no harm.
JOIN_TIMEOUT = 0.1


class Worker(ABC):
    """A thread that calls ``work`` repeatedly within a ``with`` block. ``on_error`` receives the text of each error."""

    def __init__(self, on_error: Callable[[str], None]) -> None:
        self._on_error, self._wake, self._stopping = on_error, threading.Event(), False
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @abstractmethod
    def work(self) -> None:
        """One step; called after ``wake``, and every ``POLL_INTERVAL``."""

    def wake(self) -> None:
        """Have ``work`` called at once."""
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
    """Filters and sorts. ``publish`` receives each new table, and None after a step without one."""

    def __init__(
        self, live_state: LiveState, publish: Callable[[Table | None], None], on_error: Callable[[str], None]
    ) -> None:
        super().__init__(on_error)
        self._live_state, self._publish = live_state, publish
        self._query = TableQuery()
        self._last: tuple[SessionsSnapshot | None, TableQuery] = (None, self._query)

    def set_query(self, query: TableQuery) -> None:
        """Change the query; builds a new table at once if it differs."""
        if query != self._query:
            self._query = query
            self.wake()

    def on_first_data(self) -> None:
        """Wake up after a new snapshot until all sessions were read once, so that the first data are shown at once."""
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
    """Reads the log of the session to show. ``fetch`` returns the newest output of a session."""

    def __init__(self, fetch: Callable[[str], bytes], publish: Callable[[str, Sequence[str]], None]) -> None:
        super().__init__(self._show_error)
        self._fetch, self._publish, self._session = fetch, publish, ""
        self._last: tuple[str, list[str]] = ("", [])

    def show(self, session: str) -> None:
        """Select the session whose log is read; empty: none."""
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
        """Show the error below the lines read before, which are still useful."""
        session, lines = self._last
        self._publish(self._session, [*(lines if session == self._session else []), f"[{error}]"])


class RemovalWorker(Worker):
    """Removes sessions one after the other. ``remove`` removes one and returns the message to show."""

    def __init__(self, remove: Callable[[str], str], show_message: Callable[[str], None]) -> None:
        super().__init__(show_message)
        self._remove, self._show_message, self._sessions = remove, show_message, queue.SimpleQueue[str]()

    def add(self, session: str) -> None:
        """Queue a session for removal."""
        self._sessions.put(session)
        self.wake()

    def work(self) -> None:
        """See Worker."""
        while not self._sessions.empty():
            self._show_message(self._remove(self._sessions.get()))
