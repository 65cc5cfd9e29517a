"""The table of a node's sessions: which of them are alive, what it records of their ends, and when they expire."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
from gevent.event import AsyncResult

from pycloud.protocol.session import Session, State
from pycloud.runtimes import Exit
from pycloud.sessions import table
from pycloud.sessions.context import NodeContext
from pycloud.sessions.table import SessionTable

NOW = 2000.0
#: A retention that ends in no test (seconds).
LONG = 3600.0
EXIT = Exit(3, "why", 1999.0)


class Node:
    """A node with a real table; what it does is recorded in order. ``recorded_state`` is what Redis has on record."""

    def __init__(self, retention: float = LONG) -> None:
        self.done: list[str] = []
        self.recorded_state: str | None = "exited"
        self.exits: dict[str, AsyncResult] = {}
        self.watched: set[str] = set()
        self.sessions: dict[str, Session] = {}
        session_store = SimpleNamespace(
            write_records=lambda sessions: self.done.extend(f"record {each.id} {each.state}" for each in sessions),
            erase=self._erase,
        )
        event_publisher = SimpleNamespace(
            publish=lambda event, session: self.done.append(f"{event} {session.id}"),
            publish_missed=self._publish_missed,
        )
        log_streams = SimpleNamespace(on_session_changed=lambda session: self.done.append(f"streams {session}"))
        parts = (None, self, None, session_store, None, event_publisher, lambda: NOW)
        self.table = SessionTable(NodeContext(*cast(Any, parts)), self.sessions, cast(Any, log_streams), retention)

    def wait(self, session: str) -> Exit:
        self.watched.add(session)
        try:
            return cast(Exit, self.exits[session].get())
        finally:
            self.watched.remove(session)

    def forget(self, session: str) -> None:
        self.done.append(f"forget {session}")

    def add(
        self, name: str = "s", state: State = State.RUNNING, *, answered: bool = True, ended: float | None = None
    ) -> Session:
        """A session that is alive and watched, or one that has ended."""
        self.exits[name] = AsyncResult()
        session = Session(name, "r", "d", "t", "h", 1000.0, state=state, answered=answered, ended=ended)
        self.table.add(session)
        self.table.mark_alive(session)
        gevent.sleep(0)
        return session

    def end(self, session: Session, exit_: Exit = EXIT) -> list[str]:
        """What is done when a session ends."""
        self.done.clear()
        self.exits[session.id].set(exit_)
        for _ in range(3):
            gevent.sleep(0)
        return self.done

    def _erase(self, session: Session) -> str | None:
        self.done.append(f"erase {session.id}")
        return self.recorded_state

    def _publish_missed(self, session: Session, before: str | None, after: State) -> None:
        self.done.append(f"missed {session.id} {before} {after}")


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_session_is_found_from_its_addition_until_it_is_forgotten(node: Node) -> None:
    session = node.add()
    assert (node.table.get("s"), node.table.get("other")) == (session, None)
    assert node.sessions == {"s": session}, "the map that it was given is the one that others read"
    node.table.forget(session)
    assert (node.table.get("s"), node.sessions) == (None, {})


def test_a_session_whose_start_failed_is_taken_out(node: Node) -> None:
    session = Session("s", "r", "d", "t", "h", 1000.0)
    node.table.add(session)
    assert node.table.alive == 0, "it counts when its create is answered"
    node.table.discard(session)
    assert (node.table.get("s"), node.done) == (None, [])


@pytest.mark.parametrize(
    ("state", "alive"), [(State.RUNNING, 1), (State.EXITED, 0), (State.FAILED, 0), (State.REMOVED, 0)]
)
def test_only_a_session_that_is_alive_counts_and_is_watched(node: Node, state: State, alive: int) -> None:
    session = node.add(state=state)
    assert (node.table.alive, len(node.watched)) == (alive, alive)
    assert ("session.exited s" in node.end(session)) is bool(alive)


def test_a_session_that_was_removed_while_it_was_answered_does_not_count(node: Node) -> None:
    session = Session("s", "r", "d", "t", "h", 1000.0, state=State.RUNNING)
    node.table.mark_alive(session)
    assert node.table.alive == 0


def test_a_session_counts_once_however_often_it_is_marked(node: Node) -> None:
    session = node.add()
    node.table.mark_alive(session)
    gevent.sleep(0)
    assert node.table.alive == 1
    assert node.end(session).count("session.exited s") == 1


def test_the_end_of_a_session_is_reported_and_recorded(node: Node) -> None:
    session = node.add()
    assert node.end(session) == ["streams s", "session.exited s", "record s exited"]
    assert (session.state, session.exit_code, session.reason, session.ended) == (State.EXITED, 3, "why", 1999.0)
    assert node.table.alive == 0
    assert node.table.get("s") is session, "it is retained"


def test_the_end_of_a_session_whose_create_is_not_answered_is_not_recorded(node: Node) -> None:
    """A record would prove that it was answered: it is written with the response."""
    session = node.add(answered=False)
    assert node.end(session) == ["streams s", "session.exited s"]
    node.done.clear()
    session.answered = True
    node.table.retain_ended(session)
    assert node.done == [], "it is retained already"


def test_an_ended_session_expires_after_its_retention() -> None:
    node = Node(retention=0.0)
    session = node.add()
    node.end(session)
    node.done.clear()
    gevent.sleep(0.01)
    assert node.done == ["erase s", "missed s exited exited", "forget s", "streams s"]
    assert (node.sessions, node.table.alive) == ({}, 0)


def test_an_event_that_was_missed_is_published_when_a_session_expires() -> None:
    """Redis had another state on record than the last one: its end was never reported there."""
    node = Node(retention=0.0)
    node.recorded_state = "lost"
    node.table.schedule_expiry(node.add(state=State.EXITED))
    gevent.sleep(0.01)
    assert node.done[:2] == ["erase s", "missed s lost exited"]


@pytest.mark.parametrize(("ended", "remaining"), [(1995.0, 25.0), (1970.0, 0.0), (1.0, 0.0), (None, 30.0)])
def test_the_retention_begins_at_the_end_of_the_session(
    monkeypatch: pytest.MonkeyPatch, ended: float | None, remaining: float
) -> None:
    delays: list[float] = []
    node = Node(retention=30.0)
    session = node.add(state=State.EXITED, ended=ended)
    monkeypatch.setattr(table, "gevent", SimpleNamespace(spawn_later=lambda delay, *_args: delays.append(delay)))
    node.table.schedule_expiry(session)
    assert delays == [remaining]


@pytest.mark.parametrize("gone", [True, False])
def test_a_session_that_is_removed_before_it_expires_is_left_to_its_removal(gone: bool) -> None:
    node = Node(retention=0.0)
    session = node.add(state=State.EXITED)
    node.table.schedule_expiry(session)
    if gone:
        node.table.forget(session)
    else:
        session.transition(State.REMOVED)
    node.done.clear()
    gevent.sleep(0.01)
    assert node.done == []


def test_the_end_of_a_session_during_its_removal_is_reported_and_not_recorded(node: Node) -> None:
    session = node.add()
    with node.table.removing(session):
        assert node.end(session) == ["streams s", "session.exited s"]
        assert node.table.alive == 0


def test_a_session_that_ended_and_whose_removal_failed_is_retained() -> None:
    node = Node(retention=0.0)
    session = node.add()
    with node.table.removing(session):
        node.end(session)
        node.done.clear()
        node.table.on_removal_failed(session)
    assert node.done == ["record s exited"]
    gevent.sleep(0.01)
    assert node.table.get("s") is None, "and expires"


def test_a_session_that_lives_on_after_its_removal_failed_is_not_retained_and_its_end_is_recorded_later(
    node: Node,
) -> None:
    session = node.add()
    with node.table.removing(session):
        node.table.on_removal_failed(session)
    assert (node.done, node.table.alive) == ([], 1)
    assert node.end(session)[-1] == "record s exited"


def test_of_several_removals_that_fail_the_last_one_retains_the_session(node: Node) -> None:
    """A removal that is still in progress may succeed, and erases the session then."""
    session = node.add()
    with node.table.removing(session):
        with node.table.removing(session):
            node.end(session)
            node.done.clear()
            node.table.on_removal_failed(session)
        assert node.done == []
        node.table.on_removal_failed(session)
    assert node.done == ["record s exited"]


def test_a_removal_that_ends_with_an_error_is_no_longer_in_progress(node: Node) -> None:
    session = node.add()
    with pytest.raises(ZeroDivisionError), node.table.removing(session):
        raise ZeroDivisionError
    assert node.end(session)[-1] == "record s exited"


def test_a_session_that_was_retained_before_its_removal_failed_is_recorded_once(node: Node) -> None:
    session = node.add()
    node.end(session)
    node.done.clear()
    with node.table.removing(session):
        node.table.on_removal_failed(session)
    assert node.done == []


def test_a_session_that_is_forgotten_is_not_watched_and_its_runtime_and_its_streams_know(node: Node) -> None:
    session = node.add()
    assert node.watched == {"s"}
    node.table.forget(session)
    assert (node.done, node.table.alive) == (["forget s", "streams s"], 0)
    gevent.sleep(0)
    assert node.watched == set()
    assert node.end(session) == []


def test_after_a_stop_no_end_is_reported(node: Node) -> None:
    session = node.add()
    node.table.stop()
    assert node.end(session) == []
    assert session.alive
