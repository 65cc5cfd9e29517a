"""The keeper's loop: waits for sockets, children, threads and times, and hands each to its part.

May touch: its wake-up pipe, and the signal handlers while it runs.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from types import FrameType

from pycloud.keeper import processes, reaper
from pycloud.keeper.book import Book
from pycloud.keeper.ending import Endings
from pycloud.keeper.family import Family
from pycloud.keeper.operations import Operations
from pycloud.keeper.remover import Remover
from pycloud.keeper.server import Server
from pycloud.keeper.settling import ADOPTED_END
from pycloud.keeper.sweeper import Sweeper

IDLE = 5.0  # seconds without a connection and without a session after which a keeper is of no use


class Wake:
    """A pipe that ends the wait of a selector; written to by signals and threads."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __call__(self) -> None:
        """Wake the loop; from any thread."""
        if self._writer < 0:
            return
        try:
            os.write(self._writer, b"\0")
        except BlockingIOError:
            return  # the pipe is full: the loop is about to wake anyway

    def on_signals(self) -> None:
        """Let signals wake the loop too. Main thread only."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def drain(self) -> None:
        """Take out what has been written."""
        try:
            while os.read(self.reader, 4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close both ends."""
        signal.set_wakeup_fd(-1)
        writer, self._writer = self._writer, -1
        os.close(writer)
        os.close(self.reader)


class Loop:
    """Runs until SIGTERM, or until nobody needs a keeper."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        wake: Wake,
        server: Server,
        operations: Operations,
        book: Book,
        family: Family,
        endings: Endings,
        sweeper: Sweeper,
        remover: Remover,
    ) -> None:
        self._selector = selector
        self._wake = wake
        self._server = server
        self._operations = operations
        self._book = book
        self._family = family
        self._endings = endings
        self._sweeper = sweeper
        self._remover = remover
        self._idle_since: float | None = None
        self._terminated = False
        self._hung_up = False

    def run(self) -> str:
        """Work; why it ended."""
        self._listen_to_signals()
        self._selector.register(self._wake.reader, selectors.EVENT_READ, self._woken)
        self._woken(0)  # what happened before the handlers were in place
        while not self._terminated:
            now = time.monotonic()
            if self._idle_for(now) >= IDLE:
                self._kill_the_nameless()
                return "there is nothing left to do"
            for key, mask in self._selector.select(self._timeout(now)):
                if isinstance(key.data, str):
                    self._adopted_ended([key.data])
                else:
                    key.data(mask)
            if self._hung_up:
                self._hung_up = False
                self._server.listen_again()
            self._tick()
            self._server.flush()
        return "it was told to; sessions go on"

    def _listen_to_signals(self) -> None:
        def ignore(number: int, frame: FrameType | None) -> None:
            """A handler, not SIG_IGN: sessions would inherit that."""

        def terminate(number: int, frame: FrameType | None) -> None:
            self._terminated = True

        def hang_up(number: int, frame: FrameType | None) -> None:
            self._hung_up = True

        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, ignore)
        signal.signal(signal.SIGHUP, hang_up)
        signal.signal(signal.SIGTERM, terminate)
        self._wake.on_signals()

    def _woken(self, mask: int) -> None:
        self._wake.drain()
        self._endings.check(reaper.reap(self._family, self._operations.leader_ended))
        self._remover.collect()

    def _adopted_ended(self, sessions: list[str]) -> None:
        ended = [session for session in sessions if session in self._family.leaders]
        for session in ended:
            self._operations.leader_ended(session, None, ADOPTED_END)
        self._endings.check(set(ended))

    def _timeout(self, now: float) -> float | None:
        parts = (self._book, self._family, self._endings, self._sweeper)
        times = [due for part in parts if (due := part.due()) is not None]
        if self._idle_since is not None:
            times.append(self._idle_since + IDLE)
        return max(0.0, min(times) - now) if times else None

    def _tick(self) -> None:
        now = time.monotonic()
        if _is_due(self._book.due(), now):
            self._book.tick(now)
        if _is_due(self._family.due(), now):
            self._adopted_ended(self._family.dead_adopted(now))
        if _is_due(self._endings.due(), now):
            self._endings.tick()
        if _is_due(self._sweeper.due(), now):
            self._sweeper.tick(now)

    def _idle_for(self, now: float) -> float:
        if len(self._server) or self._operations.busy():
            self._idle_since = None
            return 0.0
        if self._idle_since is None:
            self._idle_since = now
        return now - self._idle_since

    def _kill_the_nameless(self) -> None:
        """No session lives, so a child that is still there is what one of them hid: it belongs to nobody."""
        for _ in range(100):
            children = processes.own_children()
            if not children:
                return
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
            reaper.reap(self._family, self._operations.leader_ended)


def _is_due(due: float | None, now: float) -> bool:
    return due is not None and due <= now
