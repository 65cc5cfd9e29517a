"""Removal of sessions: what is published and in which order, and what becomes of a removal that fails at first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
import redis
from gevent.event import Event as Signal

from pycloud.errors import EngineUnavailable, RemoveFailed, RequestError
from pycloud.protocol.messages import Event, RemoveResponse
from pycloud.protocol.session import Session, State
from pycloud.sessions.context import NodeContext
from pycloud.sessions.remover import SessionRemover
from pycloud.sessions.table import SessionTable
from pycloud.store.request_claimer import RequestClaimer
from pycloud.store.requests import Claim, CommitResult, StoredResponse

NODE = "c" * 10
CLAIM = Claim("remove", "r", "digest", "token")
GRACE = 10.0


class Node:
    """A node with a real remover and table; it records what is done, in order. ``on_stop`` is what its runtime does."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.stops: list[tuple[float, Mapping[str, Any], float]] = []
        self.answers: list[RemoveResponse] = []
        self.rejections: list[tuple[RequestError, str]] = []
        self.on_stop: Callable[[str], bool] = lambda _session: True
        self.outcome = CommitResult.COMMITTED
        self.being_started: dict[str, RequestError | None] = {}
        self.sessions: dict[str, Session] = {}
        self.claimer = RequestClaimer(NODE, cast(Any, None))
        context = NodeContext(
            *cast(
                Any,
                (
                    None,
                    SimpleNamespace(stop=self._stop, forget=lambda session: self.done.append(f"forget {session}")),
                    SimpleNamespace(commit=self._commit),
                    SimpleNamespace(
                        erase=lambda session: self.done.append(f"erase {session.id}"),
                        write_records=lambda sessions: self.done.extend(f"retain {each.id}" for each in sessions),
                    ),
                    SimpleNamespace(hold=self.claimer.hold, reject_claimed=self._reject),
                    SimpleNamespace(
                        event=lambda name, session: Event(name, NODE, 0.0, session=session.id),
                        publish_event=self._publish,
                    ),
                    lambda: 2000.0,
                ),
            )
        )
        log_streams = SimpleNamespace(on_session_changed=lambda _session: None)
        self.table = SessionTable(context, self.sessions, cast(Any, log_streams), retention=3600.0)
        starter = SimpleNamespace(cancel=self._cancel)
        self.remover = SessionRemover(context, self.table, cast(Any, starter), GRACE)

    def add(self, name: str = "s", state: State = State.RUNNING, *, answered: bool = True) -> Session:
        session = Session(name, "r", "d", "t", "h", 1000.0, state=state, answered=answered)
        self.table.add(session)
        return session

    def is_removing(self, session: str) -> bool:
        """Whether a removal of it is in progress, so that its end is not recorded."""
        return session in self.table._removing

    def _stop(self, session: str, grace: float, removal: Mapping[str, Any], max_grace: float) -> bool:
        self.done.append(f"stop {session}")
        self.stops.append((grace, removal, max_grace))
        return self.on_stop(session)

    def _commit(self, claim: Claim, response: RemoveResponse, *, erase: Session, event: Event | None) -> CommitResult:
        self.done.append(f"commit {claim.id} {erase.id} {event and event.event}")
        self.answers.append(response)
        return self.outcome

    def _reject(self, _claim: Claim, error: RequestError, session_id: str) -> None:
        self.rejections.append((error, session_id))

    def _publish(self, event: Event | None) -> None:
        if event is not None:
            self.done.append(event.event)

    def _cancel(self, session: str) -> bool:
        if session in self.being_started and (error := self.being_started[session]):
            raise error
        return session in self.being_started


def fails_with(error: Exception) -> Callable[[str], bool]:
    def fail(_session: str) -> bool:
        raise error

    return fail


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_remove_is_answered_when_nothing_is_left_and_erases_the_session_with_that(node: Node) -> None:
    held: list[bool] = []

    def stop(_session: str) -> bool:
        held.append(node.claimer.is_held("remove", "r"))
        return True

    node.on_stop = stop
    session = node.add()
    node.remover.remove_claimed(session, CLAIM)
    assert node.done == ["stop s", "commit r s session.removed", "forget s"]
    assert node.answers == [RemoveResponse(session.node, "s", status=True)]
    assert (held, node.claimer.is_held("remove", "r")) == ([True], False), (
        "the claim is renewed for as long as it takes"
    )
    note = {"request": "r", "digest": "digest", "token": "token"}
    assert node.stops == [(GRACE, note, float("inf"))], "so that the next daemon continues it"
    assert list(node.remover.recent_responses) == [StoredResponse(CLAIM, node.answers[0], 2000.0)]


@pytest.mark.parametrize(
    ("state", "existed", "status"),
    [
        (State.RUNNING, True, True),
        (State.EXITED, False, True),
        (State.FAILED, False, False),
        (State.FAILED, True, True),
    ],
)
def test_the_response_has_whether_the_session_existed(node: Node, state: State, existed: bool, status: bool) -> None:
    """A session that ended and is retained existed; one that never ran did not."""
    node.on_stop = lambda _session: existed
    node.remover.remove_claimed(node.add(state=state), CLAIM)
    assert [answer.status for answer in node.answers] == [status]


@pytest.mark.parametrize(("state", "retained"), [(State.RUNNING, []), (State.EXITED, ["retain s"])])
def test_a_remove_that_fails_is_rejected_and_the_session_stays(node: Node, state: State, retained: list[str]) -> None:
    """One that has ended during the removal is retained from then on, like any other that has ended."""
    error = RemoveFailed("disk error")
    node.on_stop = fails_with(error)
    session = node.add(state=state)
    node.remover.remove_claimed(session, CLAIM)
    assert node.rejections == [(error, "s")]
    assert node.done == ["stop s", *retained]
    assert (session.state, list(node.sessions)) == (state, ["s"])
    assert not node.is_removing("s")


@pytest.mark.parametrize(
    ("outcome", "done", "stored"),
    [
        (CommitResult.CLAIM_LOST, ["erase s", "session.removed"], 0),
        (CommitResult.ALREADY_COMMITTED, ["erase s"], 1),
    ],
)
def test_a_session_is_removed_though_its_claim_was_lost_or_answered_meanwhile(
    node: Node, outcome: CommitResult, done: list[str], stored: int
) -> None:
    """The response of another node is not stored here; the session is erased and the event published by its owner."""
    node.outcome = outcome
    node.remover.remove_claimed(node.add(), CLAIM)
    assert node.done == ["stop s", "commit r s session.removed", *done, "forget s"]
    assert len(node.remover.recent_responses) == stored


def test_a_session_that_is_being_started_is_cancelled_and_not_stopped(node: Node) -> None:
    node.being_started["s"] = None
    node.remover.remove_claimed(node.add(state=State.STARTING), CLAIM)
    assert node.stops == []
    assert node.answers[0].status is True
    node.being_started["s"] = error = EngineUnavailable("no engine")
    node.remover.remove_claimed(node.add(state=State.STARTING), CLAIM)
    assert node.rejections == [(error, "s")]


def test_two_removes_at_once_are_both_answered_and_one_publishes_the_event(node: Node) -> None:
    session, both_stop = node.add(), Signal()

    def stop(_session: str) -> bool:
        assert node.is_removing("s")
        if len(node.stops) == 2:
            both_stop.set()
        return bool(both_stop.wait(5.0))

    node.on_stop = stop
    claims = [Claim("remove", request, "d") for request in ("r1", "r2")]
    gevent.joinall([gevent.spawn(node.remover.remove_claimed, session, c) for c in claims], raise_error=True)
    assert [answer.status for answer in node.answers] == [True, True]
    assert sorted(done for done in node.done if done.startswith("commit")) == [
        "commit r1 s session.removed",
        "commit r2 s None",
    ]


def test_the_event_of_a_session_that_was_found_removed_is_published_once(node: Node) -> None:
    """The previous daemon removed it, and may not have published that."""
    session = node.add(state=State.REMOVED)
    node.remover.mark_already_removed(session)
    node.remover.remove(session)
    node.remover.remove(session)
    assert node.done.count("session.removed") == 1


def test_on_stopped_is_called_before_the_session_is_erased_and_forgotten(node: Node) -> None:
    node.remover.remove(node.add(), on_stopped=lambda: node.done.append("called"), max_grace=3.0)
    assert node.done == ["stop s", "called", "erase s", "session.removed", "forget s"]
    assert node.stops == [(GRACE, {}, 3.0)]


def test_a_session_whose_create_was_not_answered_is_removed_without_grace_and_without_its_engine(node: Node) -> None:
    node.on_stop = fails_with(EngineUnavailable("no engine"))
    node.remover.remove_unanswered(node.add(answered=False))
    assert node.stops == [(0, {}, float("inf"))]
    assert node.done == ["stop s", "erase s", "session.removed", "forget s"]
    with pytest.raises(EngineUnavailable):
        node.remover.remove_unanswered(node.add(answered=True))
    assert list(node.sessions) == ["s"], "one that a requester knows is not forgotten while it may run"


@pytest.mark.parametrize("error", [RemoveFailed("busy"), EngineUnavailable("no engine"), redis.ResponseError("OOM")])
def test_a_removal_that_fails_is_deferred_logged_once_and_tried_until_it_succeeds(
    node: Node, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    node.on_stop = fails_with(error)
    node.remover.remove_or_defer(node.add("s1"))
    node.remover.remove_or_defer(node.add("s2"))
    for _ in range(3):
        node.remover.retry_deferred()
    assert len(caplog.records) == 2
    assert len(node.stops) == 8
    node.on_stop = lambda _session: True
    node.remover.retry_deferred()
    assert node.sessions == {}
    node.remover.retry_deferred()
    assert len(node.stops) == 10


def test_a_deferred_removal_of_a_session_that_is_gone_is_not_tried_again(node: Node) -> None:
    node.on_stop = fails_with(RemoveFailed("busy"))
    node.remover.remove_or_defer(node.add())
    del node.sessions["s"]
    node.remover.retry_deferred()
    node.add()
    node.remover.retry_deferred()
    assert len(node.stops) == 1


def test_all_sessions_are_removed_in_parallel_within_the_timeout(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    def stop(session: str) -> bool:
        if session == "fails":
            raise RemoveFailed("busy")
        return session != "hangs" or Signal().wait()

    node.on_stop = stop
    for name in ("hangs", "fails", "ends"):
        node.add(name)
    node.remover.remove_all(timeout=0.01)
    assert sorted(node.sessions) == ["fails", "hangs"]
    assert {stopped[2] for stopped in node.stops} == {GRACE}, "a grace of the session's own is limited to ours"
    assert "1 sessions are not removed yet" in caplog.text
    assert not node.is_removing("hangs"), "nobody waits for it any more"
