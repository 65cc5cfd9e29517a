"""Waits for the keeper's children, and only here: sessions' first processes and strays.

May touch: its own dead children.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable

from pycloud.keeper.lifecycle.process_tree import Family
from pycloud.keeper.lifecycle.terminator import REST

_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT

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
        family: Family,
        expected: Callable[[], Iterable[int]],
        on_end: OnEnd,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._family, self._expected, self._on_end, self._clock = family, expected, on_end, clock
        self._rested = float("-inf")
        self._due: float | None = None

    def reap(self) -> set[str]:
        """Wait for all children that are dead, now or (see ``due``) in a moment; the sessions they belonged to."""
        touched = {self._bury(dead) for pid in list(self._expected()) if (dead := _look(os.P_PID, pid))}
        began = self._clock()
        if began < self._rested:
            self._due = self._rested
        else:
            while dead := _look(os.P_ALL, 0):
                touched.add(self._bury(dead))
            self._due, now = None, self._clock()
            self._rested = now + REST * (now - began)
        return {session for session in touched if session is not None}

    def due(self) -> float | None:
        """When ``reap`` wants to be called (monotonic seconds); None while nobody is known to be dead."""
        return self._due

    def _bury(self, dead: os.waitid_result) -> str | None:
        """Wait for one that is dead; its session, as far as that is known."""
        session = self._family.by_pid.get(dead.si_pid)
        if session is not None:
            self._on_end(session, *outcome(dead.si_code, dead.si_status))
        else:
            session = self._family.session_of_dead(dead.si_pid)
        os.waitpid(dead.si_pid, 0)
        return session


def _look(kind: int, which: int) -> os.waitid_result | None:
    try:
        return os.waitid(kind, which, _LOOK)
    except ChildProcessError:
        return None
