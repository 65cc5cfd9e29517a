"""What there is to tell of a session that was on record as something else."""

from __future__ import annotations

import pytest

from pycloud.protocol.session import State
from pycloud.sessions.events import news


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("before", ["starting", "running", "lost"])
def test_an_end_that_nobody_was_told_of(before: str, back: bool) -> None:
    assert news(before, State.EXITED, back=back) == "session.exited"


@pytest.mark.parametrize("before", ["exited", "failed", "removed", "a word of a newer cloud"])
def test_an_end_that_was_told(before: str) -> None:
    assert news(before, State.EXITED, back=True) is None


def test_a_session_that_was_given_up_and_lives() -> None:
    assert news("lost", State.RUNNING, back=True) == "session.adopted"
    assert news("lost", State.RUNNING, back=False) is None, "a daemon that starts tells all of them"
    assert news("running", State.RUNNING, back=True) is None
    assert news("starting", State.RUNNING, back=True) is None
