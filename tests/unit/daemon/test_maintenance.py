"""The periodic tasks of a node: which claims it takes over, and that no task holds up another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest
import redis
from gevent.event import Event

from pycloud.daemon import maintenance
from pycloud.daemon.maintenance import Maintenance
from pycloud.store.requests import ExpiredClaim

#: Seconds between two heartbeats.
INTERVAL = 1.0


class Node:
    """A node that records what is done, in order."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []
        self.expired: list[ExpiredClaim] = []
        self.held: set[str] = set()
        self.redis_is_empty = False
        #: How long each of the tasks sleeps, and how often it is run.
        self.slept: list[float] = []
        self.rounds = 1
        request_store = SimpleNamespace(
            expired_claims=lambda: list(self.expired),
            delete_expired_claim=lambda op, request_id: self.done.append(("deleted", op, request_id)),
        )
        self.manager = SimpleNamespace(
            request_store=request_store,
            claimer=SimpleNamespace(is_held=lambda op, request_id: f"{op}:{request_id}" in self.held),
            session_store=SimpleNamespace(is_empty=self._is_empty),
            remover=SimpleNamespace(retry_deferred=lambda: self.did("deferred")),
            alive=0,
        )
        receiver = SimpleNamespace(
            retry_expired_claim=lambda op, payload, *, own: self.done.append(("taken over", op, payload, own))
        )
        self.failover = SimpleNamespace(
            mark_lost_nodes=lambda: self.did("lost"), prune_indexes=lambda: self.did("pruned")
        )
        self.pending_removals = SimpleNamespace(process=lambda: self.did("removals"))
        recovery = SimpleNamespace(resume_deferred=lambda: self.did("recovery"))
        parts = (self.manager, receiver, self.failover, self.pending_removals, recovery, INTERVAL)
        self.maintenance = Maintenance(*cast(Any, parts))
        self.maintenance.on_data_loss = lambda: self.did("reported")

    def did(self, what: str) -> None:
        self.done.append((what,))

    def sleep(self, seconds: float) -> None:
        """Instead of the timer: each task is run ``rounds`` times."""
        self.slept.append(seconds)
        if self.slept.count(seconds) > self.rounds * TASKS_PER_INTERVAL[seconds]:
            Event().wait()
        gevent.sleep(0)

    def run(self) -> list[tuple[object, ...]]:
        """What is done after the start."""
        self.maintenance.start()
        try:
            for _ in range(10):
                gevent.sleep(0)
        finally:
            self.maintenance.stop()
        return self.done

    def _is_empty(self) -> bool:
        self.did("checked")
        return self.redis_is_empty


TASKS_PER_INTERVAL = {INTERVAL: 1, 2 * INTERVAL: 4, 5.0: 1, 60.0: 1}


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def running(node: Node, monkeypatch: pytest.MonkeyPatch) -> Node:
    """The same, where the test controls the time."""
    monkeypatch.setattr(maintenance, "sleep_to_next_tick", node.sleep)
    return node


@pytest.mark.parametrize("own", [True, False])
def test_an_expired_claim_is_taken_over(node: Node, own: bool) -> None:
    node.expired = [ExpiredClaim("create", "r", b"payload", own)]
    node.maintenance.take_over_expired_claims()
    assert node.done == [("taken over", "create", b"payload", own)]


def test_a_claim_that_this_node_holds_is_not_taken_over(node: Node) -> None:
    """It could not be renewed in time; if it were started again here, it would be carried out twice."""
    node.expired = [ExpiredClaim("create", request, b"payload", own=True) for request in ("held", "left")]
    node.expired.append(ExpiredClaim("remove", "held", b"another request", own=True))
    node.held = {"create:held"}
    node.maintenance.take_over_expired_claims()
    assert [payload for _done, _op, payload, _own in node.done] == [b"payload", b"another request"]


def test_a_claim_whose_request_has_expired_is_deleted(node: Node) -> None:
    node.expired = [ExpiredClaim("create", "r", None, own=False)]
    node.maintenance.take_over_expired_claims()
    assert node.done == [("deleted", "create", "r")]


def test_after_a_restart_of_redis_nothing_is_taken_over_for_two_heartbeats(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.expired = [ExpiredClaim("create", "r", b"payload", own=False), ExpiredClaim("create", "s", None, own=False)]
    now = 1000.0
    monkeypatch.setattr(maintenance, "monotonic", lambda: now)
    node.maintenance.pause()
    now += 2 * INTERVAL - 0.01
    node.maintenance.take_over_expired_claims()
    assert node.done == []
    now += 0.01
    node.maintenance.take_over_expired_claims()
    assert len(node.done) == 2


@pytest.mark.parametrize(
    ("alive", "empty", "done"),
    [(0, True, []), (2, False, ["checked"]), (2, True, ["checked", "reported"])],
)
def test_that_redis_was_emptied_is_noticed_by_a_node_that_has_sessions(
    node: Node, alive: int, empty: bool, done: list[str]
) -> None:
    node.manager.alive, node.redis_is_empty = alive, empty
    node.maintenance.check_redis_data_loss()
    assert node.done == [(each,) for each in done]


def test_each_task_is_run_at_its_own_interval(running: Node) -> None:
    running.manager.alive = 1
    done = running.run()
    assert sorted(running.slept[:7]) == [INTERVAL, *[2 * INTERVAL] * 4, 5.0, 60.0]
    expected = ["checked", "deferred", "lost", "pruned", "recovery", "removals"]
    assert sorted(str(each[0]) for each in done) == expected, "once each, as each has slept once"


def test_a_task_that_waits_delays_no_other(running: Node) -> None:
    running.pending_removals.process = Event().wait
    running.failover.mark_lost_nodes = Event().wait
    running.expired = [ExpiredClaim("create", "r", b"payload", own=False)]
    assert {each[0] for each in running.run()} == {"taken over", "deferred", "recovery", "pruned"}


def test_a_task_that_redis_rejects_is_tried_again(running: Node, caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[str] = []

    def fail() -> None:
        attempts.append("lost")
        raise redis.ResponseError("NOPERM")

    running.failover.mark_lost_nodes, running.rounds = fail, 3
    running.run()
    assert attempts == ["lost"] * 3
    assert caplog.text.count("NOPERM") == 3


def test_after_a_stop_no_task_is_run(running: Node) -> None:
    running.rounds = 1 << 30
    running.run()
    before = len(running.done)
    assert before > 6
    gevent.sleep(0)
    gevent.sleep(0)
    assert len(running.done) == before
