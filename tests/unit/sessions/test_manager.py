"""What a node does about each request, and what becomes of a session whose claim or name is lost while it starts."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
from gevent.event import AsyncResult, Event

from pycloud.config.identity import Identity
from pycloud.errors import EngineUnavailable, NameTaken, RequestError, StartFailed
from pycloud.protocol.received import PUBLISHED, ReceivedRequest
from pycloud.protocol.requests import CreateRequest, LogsRequest, RemoveRequest, Request, StatusRequest
from pycloud.protocol.session import Session, State
from pycloud.runtimes import Exit, SessionSpec, Started
from pycloud.sessions.manager import SessionManager
from pycloud.store.requests import ClaimResult, CommitResult

NODE, OTHER_SESSION = "c" * 10, "1" * 20
CREATE = CreateRequest("r", "script", name="web")
VALID_UNTIL = 1540.0


def received(request: Request) -> ReceivedRequest:
    return ReceivedRequest(request, b"{}", PUBLISHED, fresh_until=1004.0, valid_until=VALID_UNTIL)


class Node:
    """A node with a real manager; what it does is recorded in order. ``on_start`` is what its runtime does."""

    kinds = ("script",)

    def __init__(self, **options: Any) -> None:
        self.done: list[str] = []
        self.answers: list[Any] = []
        self.deadlines: list[float] = []
        self.claim_result, self.commit_result = ClaimResult.CLAIMED, CommitResult.COMMITTED
        self.on_claim: Callable[[], None] = lambda: None
        self.on_start: Callable[[], None] = lambda: None
        self.engine_error: str | None = None
        self.name_holder: str | None = None
        self.exits: dict[str, AsyncResult] = {}
        self.output: tuple[int, bytes] | Exception = (0, b"hello")
        request_store = SimpleNamespace(
            claim=self._claim,
            commit=self._commit,
            release=lambda claim: self.done.append(f"release {claim.id}"),
            publish_response=lambda op, request_id, response, **more: self.answers.append(
                (response, {"op": op, "id": request_id, **more})
            ),
        )
        names = SimpleNamespace(
            reserve=lambda _session: self.name_holder,
            release=lambda _session: None,
            holder=lambda _name: self.name_holder,
        )
        session_store = SimpleNamespace(
            name_reservations=names,
            publish_event=lambda event: self.done.append(event.event),
            write_records=lambda sessions: self.done.extend(f"record {session.state}" for session in sessions),
            erase=lambda _session: self.done.append("erase"),
        )
        parts = cast(Any, (Identity(NODE, "h"), self, request_store, session_store))
        settings = {"stop_grace": 10.0, "retention": 3600.0, "clock": lambda: 2000.0, **options}
        self.manager = SessionManager(*parts, **settings)

    def choose(self, wanted: tuple[str, ...]) -> str | None:
        return next((kind for kind in wanted if kind in self.kinds), None)

    def unavailable_reason(self, _kind: str) -> str | None:
        return self.engine_error

    def start(self, spec: SessionSpec) -> Started:
        self.exits[spec.session] = AsyncResult()
        self.on_start()
        self.done.append("started")
        return Started(40000, 1001.0)

    def stop(self, session: str, grace: float, _removal: object, _max_grace: float = 0.0) -> bool:
        self.done.append(f"stop {grace:g}")
        self.end(session, Exit(143, None, 1999.0))
        return True

    def wait(self, session: str) -> Exit:
        return cast(Exit, self.exits[session].get())

    def annotate(self, _session: str, annotations: dict[str, Any]) -> None:
        self.done.append(f"note {annotations}")

    def forget(self, _session: str) -> None:
        self.done.append("forget")

    def tail(self, _session: str, _count: int) -> tuple[int, bytes]:
        if isinstance(self.output, Exception):
            raise self.output
        return self.output

    def end(self, session: str, exit_: Exit) -> None:
        """Have a session end, and its watcher notice it."""
        gevent.sleep(0)
        self.exits[session].set(exit_)
        for _ in range(3):
            gevent.sleep(0)

    def create(self, request: CreateRequest = CREATE) -> RequestError | None:
        return self.manager.create(received(request))

    def created(self) -> Session:
        """A session that runs, and whose create was answered."""
        assert self.create() is None
        (session,) = self.manager.sessions.values()
        self.done.clear()
        return session

    def _claim(self, *_args: object, **_more: object) -> tuple[ClaimResult, float]:
        self.on_claim()
        return self.claim_result, 0.0

    def _commit(self, _claim: object, response: Any, *, deadline: float = 0.0, **more: Any) -> CommitResult:
        error = getattr(response, "error", None)
        self.done.append(f"answer {error.code}" if error else f"answer {response.id and 'session'}")
        self.answers.append((response, more))
        self.deadlines.append(deadline)
        return self.commit_result if more.get("record") else CommitResult.COMMITTED


def test_a_session_counts_as_alive_when_its_create_is_answered() -> None:
    node = Node()
    loads: list[tuple[int, int]] = []
    node.on_start = lambda: loads.append((node.manager.load, node.manager.alive))
    assert node.create(CreateRequest("r", "script")) is None
    assert node.done == ["session.starting", "started", "answer session", "note {'answered': True}"]
    assert loads == [(1, 0)]
    assert (node.manager.load, node.manager.alive) == (1, 1), "it does not count twice"
    assert node.deadlines == [VALID_UNTIL], "after that, its claim and a takeover of it may be forgotten"


def test_a_create_with_a_name_is_not_answered_after_its_claim_may_be_forgotten_either() -> None:
    node = Node()
    assert node.create(CreateRequest("r", "script", name="web")) is None
    assert node.deadlines == [VALID_UNTIL]


def test_the_claim_of_a_create_is_held_while_its_session_starts() -> None:
    node = Node()
    held: list[bool] = []
    node.on_start = lambda: held.append(node.manager.claimer.is_held("create", "r"))
    node.create()
    assert (held, node.manager.claimer.is_held("create", "r")) == ([True], False)


def test_a_create_that_another_node_has_claimed_starts_nothing() -> None:
    node = Node()
    node.claim_result = ClaimResult.HELD
    assert node.create() is None
    assert (node.done, node.manager.load) == ([], 0)


def test_a_session_whose_claim_is_lost_while_it_starts_is_removed_and_nothing_is_answered() -> None:
    node = Node()
    node.commit_result = CommitResult.CLAIM_LOST
    assert node.create() is None
    assert node.done == [
        "session.starting",
        "started",
        "answer session",
        "stop 0",
        "erase",
        "session.removed",
        "forget",
    ]
    assert (node.manager.sessions, node.manager.load, len(node.answers)) == ({}, 0, 1)


def test_a_session_whose_name_is_taken_while_it_starts_is_removed_before_its_create_is_rejected() -> None:
    """A session found here whose create is answered is taken for the one in that response."""
    node = Node()
    node.commit_result = CommitResult.NAME_TAKEN
    node.on_start = lambda: setattr(node, "name_holder", OTHER_SESSION)
    assert node.create() is None
    assert node.done[3:] == ["stop 0", "erase", "session.removed", "forget", "answer name_taken"]
    response, more = node.answers[-1]
    assert (response.id, response.error.session, more["retryable"]) == (None, OTHER_SESSION, True)
    assert node.manager.sessions == {}


def test_a_node_that_turns_out_to_be_full_releases_the_claim_and_returns_the_reason() -> None:
    node = Node(capacity=1)
    node.created()
    error = node.create(CreateRequest("r2", "script"))
    assert error is not None
    assert (error.code, error.message) == ("no_capacity", "this node is full")
    assert node.done == ["release r2"]
    node.manager.draining = True
    assert (error := node.create(CreateRequest("r3", "script"))) is not None
    assert error.message == "this node is draining"


def test_sessions_that_start_count_against_the_capacity_and_creates_that_are_not_claimed_do_not() -> None:
    node, proceed = Node(capacity=1), Event()
    node.on_claim = proceed.wait
    creating = [gevent.spawn(node.create, CreateRequest(f"r{number}", "script")) for number in range(3)]
    gevent.sleep(0)
    assert (node.manager.load, node.manager.full) == (3, False)
    started = Event()
    node.on_start = started.wait
    proceed.set()
    gevent.sleep(0)
    gevent.sleep(0)
    assert (node.manager.alive, node.manager.full) == (0, True)
    started.set()
    gevent.joinall(creating, timeout=5.0, raise_error=True)
    assert sorted(str(each.value) for each in creating) == ["None", *["this node is full"] * 2]


@pytest.mark.parametrize(
    ("failure", "code", "done"),
    [
        (EngineUnavailable("gone"), "engine_unavailable", "release r"),
        (StartFailed("no"), None, "answer start_failed"),
        (NameTaken("web", OTHER_SESSION), None, "answer name_taken"),
    ],
)
def test_a_create_is_left_to_another_node_where_the_engine_is_unavailable_and_rejected_otherwise(
    failure: RequestError, code: str | None, done: str
) -> None:
    node = Node()

    def fail() -> None:
        raise failure

    node.on_start = fail
    error = node.create()
    assert (error and error.code, node.done[-1]) == (code, done)
    assert (node.manager.sessions, node.manager.load) == ({}, 0)


@pytest.mark.parametrize(
    ("change", "wanted", "code"),
    [
        ({}, "script", None),
        ({}, "docker", "wrong_runtime"),
        ({"engine_error": "no engine"}, "script", "engine_unavailable"),
        ({"draining": True}, "script", "no_capacity"),
        ({"capacity": 1, "pending_creates": 1}, "script", "no_capacity"),
        ({"capacity": 2, "pending_creates": 1}, "script", None),
    ],
)
def test_the_error_of_a_create_that_was_sent_to_this_node_alone(
    change: dict[str, Any], wanted: str, code: str | None
) -> None:
    node = Node()
    for name, value in change.items():
        setattr(node if name == "engine_error" else node.manager, name, value)
    error = node.manager.rejection_for(CreateRequest("r", "script", runtimes=(wanted,)))
    assert (error and error.code) == code


def test_a_session_that_ends_is_recorded_and_forgotten_after_its_retention() -> None:
    node = Node(retention=0.0)
    session = node.created()
    node.end(session.id, Exit(3, None, 2000.0))
    assert (session.state, session.exit_code, node.manager.alive) == (State.EXITED, 3, 0)
    assert node.done[:2] == ["session.exited", "record exited"]
    gevent.sleep(0.01)
    assert node.done[2:] == ["erase", "forget"], "without an event: nobody has removed it"
    assert node.manager.sessions == {}


def test_the_end_of_a_session_that_is_being_removed_is_not_recorded_over_its_removal() -> None:
    node = Node()
    session = node.created()
    node.manager.remover.remove(session)
    assert node.done == ["stop 10", "session.exited", "erase", "session.removed", "forget"]


def test_a_remove_is_carried_out_by_the_node_that_gets_its_claim() -> None:
    node = Node()
    session = node.created()
    request = received(RemoveRequest("q", session.id))
    node.claim_result = ClaimResult.HELD
    node.manager.remove(session, request)
    assert (node.done, list(node.manager.sessions)) == ([], [session.id])
    node.claim_result = ClaimResult.CLAIMED
    node.manager.remove(session, request)
    assert node.done == ["stop 10", "session.exited", "answer session", "forget"]
    response, more = node.answers[-1]
    assert (response.id, response.status, more["erase"], more["event"].event) == (
        session.id,
        True,
        session,
        "session.removed",
    )
    assert node.manager.sessions == {}


def test_a_node_answers_with_the_output_of_its_own_sessions_or_with_the_error() -> None:
    node = Node()
    session = node.created()
    outputs: list[tuple[int, bytes] | Exception] = [(7, b"hello"), FileNotFoundError(), EngineUnavailable("gone")]
    answers = []
    for node.output in outputs:
        node.manager.logs(LogsRequest("l", session.id))
        answers.append(node.answers[-1][0])
    node.manager.logs(LogsRequest("l", OTHER_SESSION))
    answers.append(node.answers[-1][0])
    assert [answer.status for answer in answers] == [True, False, False, False]
    assert (answers[0].offset, answers[0].data, answers[2].error.code) == (7, "hello", "engine_unavailable")


def test_a_status_is_answered_from_memory_while_confirmed_or_by_the_node_that_claims_it() -> None:
    node = Node()
    session = node.created()
    node.manager.status(session, "q", 1.5)
    assert node.answers[-1][1] == {"op": "status", "id": "q", "max_age": 1.5}
    request = received(StatusRequest("q", session.id))
    node.claim_result = ClaimResult.HELD
    node.manager.status_with_claim(session, request)
    assert len(node.answers) == 2
    node.claim_result = ClaimResult.CLAIMED
    node.manager.status_with_claim(session, request)
    assert node.answers[-1][1] == {"retryable": True}
    assert node.deadlines[-1] == VALID_UNTIL


def test_adopted_sessions_are_counted_and_watched_while_they_are_alive_and_expire_when_they_have_ended() -> None:
    node = Node(retention=0.0)
    alive, ended, removed = (
        Session(f"s{state}", "r", "d", "t", "h", 1000.0, state=state, answered=True)
        for state in (State.RUNNING, State.EXITED, State.REMOVED)
    )
    node.exits[alive.id] = AsyncResult()
    for session in (alive, ended, removed):
        node.manager.adopt(session)
    assert (list(node.manager.sessions.values()), node.manager.alive) == ([alive, ended, removed], 1)
    gevent.sleep(0.01)
    assert list(node.manager.sessions.values()) == [alive, removed]
    assert node.done == ["erase", "forget"]
    node.done.clear()
    node.exits[removed.id] = AsyncResult()
    node.manager.remover.remove(removed)
    assert "session.removed" in node.done, "the last daemon may not have published it"
    node.end(alive.id, Exit(0, None, 2000.0))
    assert (alive.state, node.manager.alive) == (State.EXITED, 0)
