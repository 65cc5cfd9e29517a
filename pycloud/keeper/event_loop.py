"""The keeper's loop: waits for sockets, children, threads and timers, and calls the part responsible for each.

May touch: its self-pipe, and the signal wakeup descriptor while it runs.
"""

from __future__ import annotations

import os
import selectors
import signal
import time

from pycloud.keeper.ipc.server import Server
from pycloud.keeper.lifecycle.process_tree import ProcessTree
from pycloud.keeper.lifecycle.reaper import Reaper
from pycloud.keeper.lifecycle.terminator import Terminator
from pycloud.keeper.operations import Operations
from pycloud.keeper.recovery import ADOPTED_EXIT_REASON
from pycloud.keeper.storage.dir_remover import DirRemover
from pycloud.keeper.storage.journal_store import JournalStore
from pycloud.keeper.storage.log_limiter import LogLimiter
from pycloud.keeper.system import procfs

SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
IDLE_TIMEOUT = 5.0  # seconds without connections and without sessions after which the keeper exits


class SelfPipe:
    """A pipe that ends the wait of a selector; signals and threads write to it."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __call__(self) -> None:
        """Wake the loop. May be called from any thread."""
        if self._writer < 0:
            return
        try:
            os.write(self._writer, b"\0")
        except BlockingIOError:
            return  # the pipe is full, so the loop wakes anyway

    def wake_on_signals(self) -> None:
        """Let signals wake the loop as well: each writes its number into the pipe. Main thread only."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def drain(self) -> set[int]:
        """Read all that was written; return the numbers of the signals, and 0 where a thread woke the loop."""
        drained = set[int]()
        try:
            while data := os.read(self.reader, 4096):
                drained.update(data)
        except BlockingIOError:
            pass
        return drained

    def close(self) -> None:
        """Close both ends."""
        signal.set_wakeup_fd(-1)
        writer, self._writer = self._writer, -1
        os.close(writer)
        os.close(self.reader)


class EventLoop:
    """Runs until SIGTERM, or until the keeper is idle; in a thread that is not the main one (see ``__main__``)."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        self_pipe: SelfPipe,
        server: Server,
        operations: Operations,
        journal_store: JournalStore,
        process_tree: ProcessTree,
        terminator: Terminator,
        log_limiter: LogLimiter,
        remover: DirRemover,
    ) -> None:
        self._selector = selector
        self._self_pipe = self_pipe
        self._server = server
        self._operations = operations
        self._journal_store = journal_store
        self._process_tree = process_tree
        self._terminator = terminator
        self._log_limiter = log_limiter
        self._remover = remover
        self._reaper = Reaper(process_tree, terminator.terminating_pids, operations.leader_ended)
        self._idle_since: float | None = None
        self._terminated = False

    def run(self) -> str:
        """Run the loop; return the reason why it ended."""
        self._selector.register(self._self_pipe.reader, selectors.EVENT_READ, self._on_wakeup)
        self._reap()  # children that died before the signal handlers were installed
        while not self._terminated:
            now = time.monotonic()
            if self._idle_for(now) >= IDLE_TIMEOUT:
                self._kill_unattributed_children()
                return "no sessions and no connections are left"
            for key, mask in self._selector.select(self._timeout(now)):
                if isinstance(key.data, str):
                    self._on_adopted_ended([key.data])
                else:
                    key.data(mask)
            self._tick()
            self._server.flush()
        return "received SIGTERM; sessions keep running"

    def _on_wakeup(self, mask: int) -> None:
        signals = self._self_pipe.drain()
        if signal.SIGTERM in signals:
            self._terminated = True
        if signal.SIGHUP in signals:
            self._server.listen_again()
        self._reap()
        self._remover.collect()

    def _reap(self) -> None:
        self._terminator.check(self._reaper.reap())

    def _on_adopted_ended(self, sessions: list[str]) -> None:
        ended = [session for session in sessions if session in self._process_tree.leaders]
        for session in ended:
            self._operations.leader_ended(session, None, ADOPTED_EXIT_REASON)
        self._terminator.check(set(ended))

    def _timeout(self, now: float) -> float | None:
        parts = (self._journal_store, self._process_tree, self._reaper, self._terminator, self._log_limiter)
        times = [due for part in parts if (due := part.due()) is not None]
        if self._idle_since is not None:
            times.append(self._idle_since + IDLE_TIMEOUT)
        return max(0.0, min(times) - now) if times else None

    def _tick(self) -> None:
        now = time.monotonic()
        if _is_due(self._journal_store.due(), now):
            self._journal_store.tick(now)
        if _is_due(self._process_tree.due(), now):
            self._on_adopted_ended(self._process_tree.dead_adopted(now))
        if _is_due(self._reaper.due(), now):
            self._reap()
        if _is_due(self._terminator.due(), now):
            self._terminator.tick()
        if _is_due(self._log_limiter.due(), now):
            self._log_limiter.tick(now)

    def _idle_for(self, now: float) -> float:
        if len(self._server) or self._operations.busy():
            self._idle_since = None
            return 0.0
        if self._idle_since is None:
            self._idle_since = now
        return now - self._idle_since

    def _kill_unattributed_children(self) -> None:
        """Kill all remaining children: no session is running, so these belong to no known session."""
        for _ in range(100):
            orphans = procfs.orphans()
            if not orphans:
                return
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
            self._reaper.reap()


def _is_due(due: float | None, now: float) -> bool:
    return due is not None and due <= now
