"""Waits for the keeper's children, and only here: sessions' first processes and strays.

May touch: its own dead children.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from pycloud.keeper.family import Family

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


def reap(family: Family, on_end: OnEnd) -> set[str]:
    """Wait for all children that are dead. The sessions to which they belonged, as far as that is known."""
    touched = set()
    while (dead := _next_dead()) is not None:
        session = family.by_pid.get(dead.si_pid)
        if session is not None:
            on_end(session, *outcome(dead.si_code, dead.si_status))
        else:
            session = family.session_of_dead(dead.si_pid)
        if session is not None:
            touched.add(session)
        os.waitpid(dead.si_pid, 0)
    return touched


def _next_dead() -> os.waitid_result | None:
    try:
        return os.waitid(os.P_ALL, 0, _LOOK)
    except ChildProcessError:
        return None
