"""Reaps the keeper's children: sessions' first processes and orphans. No other module waits for children.

May touch: its own dead children.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable

from pycloud.keeper.lifecycle.process_tree import ProcessTree
from pycloud.keeper.lifecycle.terminator import SCAN_REST_FACTOR

_PEEK_FLAGS = os.WEXITED | os.WNOHANG | os.WNOWAIT

#: Called with session, exit code, reason while the leader is dead but still holds its pid.
OnEnd = Callable[[str, int, str | None], None]


def outcome(code: int, status: int) -> tuple[int, str | None]:
    """Return the exit code (128 + n for signal n) and, for a signal, the reason.

    Takes the ``si_code`` and ``si_status`` of waitid.
    """
    if code == os.CLD_EXITED:
        return status, None
    try:
        name = signal.Signals(status).name
    except ValueError:
        name = "a real-time signal"
    return 128 + status, f"killed by signal {status} ({name})"


class Reaper:
    """Reaps children. ``expected_pids`` returns the pids of leaders being terminated; ``clock``: monotonic seconds.

    To find any dead child, the kernel iterates over all children, which is slow where there are thousands. So leaders
    that are expected to end are queried one by one, which is fast; the others are checked after a pause.
    """

    def __init__(
        self,
        process_tree: ProcessTree,
        expected_pids: Callable[[], Iterable[int]],
        on_end: OnEnd,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._process_tree, self._expected_pids, self._on_end, self._clock = process_tree, expected_pids, on_end, clock
        self._next_full_scan = float("-inf")
        self._due: float | None = None

    def reap(self) -> set[str]:
        """Reap all dead children, now or (see ``due``) soon; return the sessions that they belonged to."""
        touched = {self._reap_one(dead) for pid in list(self._expected_pids()) if (dead := _peek(os.P_PID, pid))}
        began = self._clock()
        if began < self._next_full_scan:
            self._due = self._next_full_scan
        else:
            while dead := _peek(os.P_ALL, 0):
                touched.add(self._reap_one(dead))
            self._due, now = None, self._clock()
            self._next_full_scan = now + SCAN_REST_FACTOR * (now - began)
        return {session for session in touched if session is not None}

    def due(self) -> float | None:
        """Return when ``reap`` is to be called (monotonic seconds); None while no child is known to be dead."""
        return self._due

    def _reap_one(self, dead: os.waitid_result) -> str | None:
        """Reap one dead child; return its session, or None if that is unknown."""
        session = self._process_tree.by_pid.get(dead.si_pid)
        if session is not None:
            self._on_end(session, *outcome(dead.si_code, dead.si_status))
        else:
            session = self._process_tree.session_of_dead(dead.si_pid)
        os.waitpid(dead.si_pid, 0)
        return session


def _peek(kind: int, which: int) -> os.waitid_result | None:
    try:
        return os.waitid(kind, which, _PEEK_FLAGS)
    except ChildProcessError:
        return None
