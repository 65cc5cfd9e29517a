"""One greenlet per session: waits for its end and reports it."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from pycloud.runtimes import Exit
from pycloud.runtimes.composite import CompositeRuntime

OnExit = Callable[[str, Exit], None]


class ExitWatcher:
    """The watching greenlets by session. ``on_exit`` is called once for each session that ends while watched."""

    def __init__(self, runtime: CompositeRuntime, on_exit: OnExit) -> None:
        self._runtime, self._on_exit = runtime, on_exit
        self._greenlets: dict[str, gevent.Greenlet] = {}

    def watch(self, session: str) -> None:
        """Wait for the session's end in the background."""
        if session not in self._greenlets:
            self._greenlets[session] = gevent.spawn(self._watch, session)

    def unwatch(self, session: str) -> None:
        """Stop watching a session."""
        if greenlet := self._greenlets.pop(session, None):
            greenlet.kill(block=False)

    def stop(self) -> None:
        """Stop watching all sessions."""
        gevent.killall(list(self._greenlets.values()))
        self._greenlets.clear()

    def _watch(self, session: str) -> None:
        exit_ = self._runtime.wait(session)
        self._greenlets.pop(session, None)
        self._on_exit(session, exit_)
