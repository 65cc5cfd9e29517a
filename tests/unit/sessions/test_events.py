"""What there is to tell of a session that was on record as something else."""

from __future__ import annotations

import pytest

from pycloud.protocol.session import State
from pycloud.sessions.events import missed_event


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("before", ["starting", "running", "lost"])
def test_an_end_that_nobody_was_told_of(before: str, back: bool) -> None:
    assert missed_event(before, State.EXITED, report_adopted=back) == "session.exited"


@pytest.mark.parametrize("before", ["exited", "failed", "removed", "a word of a newer cloud"])
def test_an_end_that_was_told(before: str) -> None:
    assert missed_event(before, State.EXITED, report_adopted=True) is None


def test_a_session_that_was_given_up_and_lives() -> None:
    assert missed_event("lost", State.RUNNING, report_adopted=True) == "session.adopted"
    assert missed_event("lost", State.RUNNING, report_adopted=False) is None, "a daemon that starts tells all of them"
    assert missed_event("running", State.RUNNING, report_adopted=True) is None
    assert missed_event("starting", State.RUNNING, report_adopted=True) is None
