"""Waits for the keeper's children, and only here: sessions' first processes and strays.

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
    """Exit code (128 + n for signal n) and, for a signal, the reason. Takes waitid's ``si_code`` and ``si_status``."""
    if code == os.CLD_EXITED:
        return status, None
    try:
        name = signal.Signals(status).name
    except ValueError:
        name = "a real-time signal"
    return 128 + status, f"killed by signal {status} ({name})"


class Reaper:
    """``expected`` gives the pids of leaders that were told to end; ``clock`` is monotonic.

    To find whoever is dead the kernel goes over all our children, which takes a while where there are thousands. Those
    whose end is awaited are asked about one by one, which does not; the others have their turn after a rest.
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
        """Wait for all children that are dead, now or (see ``due``) in a moment; the sessions they belonged to."""
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
        """When ``reap`` wants to be called (monotonic seconds); None while nobody is known to be dead."""
        return self._due

    def _reap_one(self, dead: os.waitid_result) -> str | None:
        """Wait for one that is dead; its session, as far as that is known."""
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
