"""From a claimed create to a running session, and how a start is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
from gevent.event import Event

from pycloud.config.identity import Identity
from pycloud.errors import EngineUnavailable, NameTaken, RemoveFailed, RequestError, StartFailed, WrongRuntime
from pycloud.protocol.requests import CreateRequest
from pycloud.protocol.session import Session, State
from pycloud.runtimes import PullProgress, SessionSpec, Started
from pycloud.sessions.context import NodeContext
from pycloud.sessions.starter import SessionStarter
from pycloud.sessions.table import SessionTable
from pycloud.store.requests import Claim

NODE = "c" * 10
REQUEST = CreateRequest("r", "script", {"MAP": "castle"}, name="web", labels={"app": "shop"})
PLAIN = CreateRequest("r", "script")
CLAIM = Claim("create", "r", "digest", "token")
STARTED = Started(40000, 1001.0, {"80/tcp": 40000})


class Node:
    """A node that records what its starter does, in order; ``on_start`` is what its runtime does."""

    kinds = ("script",)

    def __init__(self) -> None:
        self.done: list[str] = []
        self.sessions: dict[str, Session] = {}
        self.specs: list[SessionSpec] = []
        self.published: list[Session] = []
        self.name_holder: str | None = None
        self.on_start: Callable[[SessionSpec], Started] = lambda _spec: STARTED
        self.on_stop: Callable[[], None] = lambda: None
        publisher = SimpleNamespace(
            publish=self._publish,
            publish_pull_progress=lambda _session, progress: self.done.append(f"pulling {progress.text}"),
        )
        names = SimpleNamespace(reserve=self._reserve, release=lambda _session: self.done.append("name released"))
        identity, session_store = Identity(NODE, "box.example.net"), SimpleNamespace(name_reservations=names)
        context = NodeContext(*cast(Any, (identity, self, None, session_store, None, publisher, lambda: 1000.0)))
        table = SessionTable(context, self.sessions, cast(Any, None), retention=3600.0)
        self.starter = SessionStarter(context, table)

    def choose(self, wanted: tuple[str, ...]) -> str | None:
        return next((kind for kind in wanted if kind in self.kinds), None)

    def start(self, spec: SessionSpec) -> Started:
        self.done.append("start")
        self.specs.append(spec)
        return self.on_start(spec)

    def stop(self, _session: str, grace: float, removal: dict[str, Any]) -> bool:
        self.done.append(f"stop {grace} {removal}")
        self.on_stop()
        return True

    def forget(self, _session: str) -> None:
        self.done.append("forget")

    def _publish(self, name: str, session: Session) -> None:
        self.done.append(name)
        self.published.append(session)

    def _reserve(self, _session: Session) -> str | None:
        self.done.append("name reserved")
        return self.name_holder

    def fails_with(self, kind: type[Exception], request: CreateRequest = REQUEST) -> Exception:
        with pytest.raises(kind) as caught:
            self.starter.start(request, CLAIM, 3)
        return caught.value


class Cancelled:
    """A start that is cancelled while the runtime carries it out; ``outcome`` is what ``cancel`` returned or raised."""

    def __init__(self, node: Node, on_start: Callable[[SessionSpec], Started]) -> None:
        self.outcome: bool | RequestError | None = None
        begun, proceed = Event(), Event()

        def start(spec: SessionSpec) -> Started:
            begun.set()
            proceed.wait()
            return on_start(spec)

        node.on_start = start
        creating = gevent.spawn(node.fails_with, StartFailed)
        begun.wait()
        cancelling = gevent.spawn(self._cancel, node.starter, node.specs[0].session)
        gevent.sleep(0)
        assert not cancelling.ready(), "it waits until nothing of it is left"
        proceed.set()
        gevent.joinall([creating, cancelling], timeout=5.0, raise_error=True)
        self.error: StartFailed = creating.value

    def _cancel(self, starter: SessionStarter, session: str) -> None:
        try:
            self.outcome = starter.cancel(session)
        except RequestError as error:
            self.outcome = error


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_session_is_in_the_table_before_it_is_started_and_its_name_is_reserved_before_that(node: Node) -> None:
    """A removal in the meantime finds it, and no other create has its name."""
    states: list[State] = []

    def start(spec: SessionSpec) -> Started:
        states.append(node.sessions[spec.session].state)
        return STARTED

    node.on_start = start
    session = node.starter.start(REQUEST, CLAIM, 3)
    assert node.done == ["name reserved", "session.starting", "start"]
    assert states == [State.STARTING]
    assert node.sessions == {session.id: session}
    assert (session.state, session.port, session.started, session.ports) == (
        State.RUNNING,
        40000,
        1001.0,
        STARTED.ports,
    )
    assert (session.node, session.answered) == (NODE, False)


@pytest.mark.parametrize(("request_", "more"), [(PLAIN, {}), (REQUEST, {"name": "web", "labels": {"app": "shop"}})])
def test_what_the_next_daemon_needs_is_stored_with_the_session(
    node: Node, request_: CreateRequest, more: dict[str, Any]
) -> None:
    node.starter.start(request_, CLAIM, 3)
    (spec,) = node.specs
    stored = {"request": "r", "digest": "digest", "token": "token", "host": "box.example.net", "created": 1000.0}
    assert spec.record == {**stored, "runtime": "script", **more}
    assert (spec.script, spec.env, spec.session_count) == ("script", request_.env, 3)


def test_where_the_name_is_taken_nothing_is_started(node: Node) -> None:
    node.name_holder = "1" * 20
    error = node.fails_with(NameTaken)
    assert cast(NameTaken, error).session == "1" * 20
    assert node.done == ["name reserved"]
    assert node.sessions == {}


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (StartFailed("disk full"), "disk full"),
        (EngineUnavailable("no engine"), "no engine"),
        (ValueError("a bug"), "the session could not be started: a bug"),
    ],
)
def test_nothing_is_left_of_a_start_that_fails_and_its_name_is_released(
    node: Node, failure: Exception, message: str
) -> None:
    def fail(_spec: SessionSpec) -> Started:
        raise failure

    node.on_start = fail
    kind = type(failure) if isinstance(failure, RequestError) else StartFailed
    assert str(node.fails_with(kind)) == message
    assert node.sessions == {}
    assert node.done == ["name reserved", "session.starting", "start", "name released", "session.failed"]
    assert (node.published[-1].state, node.published[-1].reason) == (State.FAILED, str(failure))
    assert not node.starter.cancel(node.published[-1].id), "a removal does not wait for it for ever"


def test_a_create_for_another_runtime_is_rejected_with_the_runtimes_of_this_node(node: Node) -> None:
    error = node.fails_with(WrongRuntime, CreateRequest("r", "script", runtimes=("docker",)))
    assert str(error) == "this create needs the runtime docker, and this node has only script"
    assert node.done == []


def test_a_session_that_is_removed_while_it_starts_is_stopped_at_once_and_its_create_fails(node: Node) -> None:
    cancelled = Cancelled(node, lambda _spec: STARTED)
    assert cancelled.outcome is True
    assert str(cancelled.error) == "the session was removed while it was starting"
    assert node.done[3:] == ["stop 0 {}", "forget", "name released", "session.failed"]
    assert node.sessions == {}


def test_a_start_that_is_cancelled_and_fails_anyway_counts_as_removed(node: Node) -> None:
    def fail(_spec: SessionSpec) -> Started:
        raise StartFailed("disk full")

    cancelled = Cancelled(node, fail)
    assert (cancelled.outcome, str(cancelled.error)) == (True, "disk full")
    assert "stop 0 {}" not in node.done, "a start that failed has left nothing"


def test_a_session_that_runs_by_then_and_cannot_be_stopped_does_not_count_as_removed(node: Node) -> None:
    def fail() -> None:
        raise RemoveFailed("it stays")

    node.on_stop = fail
    assert isinstance(Cancelled(node, lambda _spec: STARTED).outcome, RemoveFailed)
    assert "forget" in node.done, "its runtime removes the rest later"


def test_a_cancelled_start_is_not_left_to_another_node_when_the_engine_becomes_unavailable(node: Node) -> None:
    """Its create is answered; with ``EngineUnavailable`` another node would start it."""

    def fail(_spec: SessionSpec) -> Started:
        raise EngineUnavailable("no engine")

    cancelled = Cancelled(node, fail)
    assert isinstance(cancelled.outcome, EngineUnavailable), "it is not known whether anything is left of it"
    assert str(cancelled.error) == "the session was removed while it was starting"


def test_the_progress_of_a_pull_is_published_until_the_start_is_cancelled(node: Node) -> None:
    def pull(spec: SessionSpec) -> Started:
        spec.on_progress(PullProgress("image", "half", 0.5))
        return STARTED

    node.on_start = pull
    node.starter.start(PLAIN, CLAIM, 3)
    assert "pulling half" in node.done
    node.done.clear()
    node.specs.clear()
    assert Cancelled(node, pull).outcome is True
    assert "pulling half" not in node.done, "it ends there: the pull need not be waited for"
    assert "stop 0 {}" not in node.done


def test_only_a_start_in_progress_can_be_cancelled(node: Node) -> None:
    session = node.starter.start(PLAIN, CLAIM, 3)
    assert not node.starter.cancel(session.id)
    assert not node.starter.cancel("unknown")
