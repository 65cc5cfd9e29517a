"""Processes that have died: how they ended, and who is waited for at once."""

from __future__ import annotations

import os
import selectors
import signal

import pytest

from pycloud.keeper.lifecycle import reaper
from pycloud.keeper.lifecycle.process_tree import ProcessTree, SessionLeader


def test_who_is_expected_to_die_is_waited_for_at_once_and_the_others_after_a_rest() -> None:
    tree, ended, clock = ProcessTree(selectors.DefaultSelector(), 0), list[str](), iter([0.0, 1.0, 1.5, 5.0, 5.0])
    pids = {name: os.posix_spawnp("sleep", ["sleep", "600"], os.environ) for name in ("expected", "other")}
    for session, pid in pids.items():
        tree.add(session, SessionLeader(pid, 0, is_child=True), 0.0)
    told = [pids["expected"]]
    waiting = reaper.Reaper(tree, lambda: told, lambda session, *_how: ended.append(session), lambda: next(clock))
    assert waiting.reap() == set()  # it took from 0 to 1, so that the next look at all is at 5
    assert waiting.due() is None

    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert waiting.reap() == {"expected"}
    told.clear()
    assert waiting.due() == 5.0
    assert waiting.reap() == {"other"}
    assert (waiting.due(), ended) == (None, ["expected", "other"])


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (os.CLD_EXITED, 0, (0, None)),
        (os.CLD_EXITED, 3, (3, None)),
        (os.CLD_KILLED, 9, (137, "killed by signal 9 (SIGKILL)")),
        (os.CLD_DUMPED, 11, (139, "killed by signal 11 (SIGSEGV)")),
        (os.CLD_KILLED, 40, (168, "killed by signal 40 (a real-time signal)")),
    ],
)
def test_outcomes(code: int, status: int, expected: tuple[int, str | None]) -> None:
    assert reaper.outcome(code, status) == expected
