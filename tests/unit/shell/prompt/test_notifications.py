"""Which events are printed above the prompt, and when."""

from __future__ import annotations

from pycloud.protocol.messages import Event
from pycloud.shell.prompt.notifications import (
    MAX_INDIVIDUAL,
    MAX_QUEUED,
    OWN_EVENT_WINDOW,
    NotificationQueue,
    events_summary,
)

SESSION = "f000000001cccccccccc"
OTHER = "f000000002cccccccccc"


def event(kind: str = "session.running", session: str = SESSION) -> Event:
    return Event(kind, "cccccccccc", 1795471990.1, session=session)


def test_few_are_told_one_by_one_and_many_summed_up() -> None:
    queue = NotificationQueue()
    assert queue.seconds_until_due(0.0) is None
    queue.add([event()] * MAX_INDIVIDUAL)
    assert queue.seconds_until_due(0.0) == 0.0
    assert queue.take(0.0) == ([event()] * MAX_INDIVIDUAL, {})
    queue.add([event()] * 990 + [event("session.failed")] * 10)
    assert queue.seconds_until_due(0.25) == 0.75
    events, counted = queue.take(1.0)
    assert events == []
    assert events_summary(counted) == "1,000 events: session.running 990, session.failed 10. `events` lists them"
    assert queue.seconds_until_due(9.0) is None


def test_what_is_waiting_is_bounded() -> None:
    queue = NotificationQueue()
    for _ in range(100):
        queue.add([event()] * MAX_QUEUED)
    assert len(queue._queued) == MAX_QUEUED


def test_what_a_command_did_itself_is_no_news_for_a_moment() -> None:
    queue = NotificationQueue()
    queue.add([event()])
    queue.suppress_own({SESSION}, 10.0)
    queue.add([event(session=OTHER)])
    assert queue.take(10.1) == ([event(session=OTHER)], {})
    queue.add([event("session.exited")])
    assert queue.take(10.0 + OWN_EVENT_WINDOW)[0] == [event("session.exited")]


def test_a_cloud_that_was_told_to_drain_here_is_no_news_but_its_end_is() -> None:
    queue = NotificationQueue()
    drained, down = (Event(name, "cccccccccc", 1.0) for name in ("cloud.draining", "cloud.down"))
    queue.add([drained, down])
    queue.suppress_own({"cccccccccc"}, 10.0)
    assert queue.take(10.1) == ([down], {})
    queue.add([drained])
    assert queue.take(10.0 + OWN_EVENT_WINDOW)[0] == [drained], "another client has drained it"
