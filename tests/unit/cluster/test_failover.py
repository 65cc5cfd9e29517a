"""Failover for an offline node: exactly one other node answers for it, and one reports its sessions as lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import UNSET

from pycloud.cluster import failover
from pycloud.cluster.failover import FailoverResponder
from pycloud.protocol.messages import Event, RemoveResponse, StatusResponse
from pycloud.protocol.received import PUBLISHED, ReceivedRequest
from pycloud.protocol.requests import RemoveRequest, StatusRequest
from pycloud.store.requests import Claim
from pycloud.store.sessions import LostSession, PendingRemoval

OWN, OWNER = "a" * 10, "b" * 10
SESSION = "0" * 10 + OWNER
FRESH_UNTIL, VALID_UNTIL = 1004.0, 1540.0
STATUS, REMOVE = StatusRequest("r", SESSION), RemoveRequest("r", SESSION)
RECORD = {"cloud": OWNER, "state": "running", "host": "h", "port": "40000", "created": "1.5", "name": "web"}


class Node:
    """A node that gets every claim unless ``gets_claims`` is false, and records what it does, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.claim_takes, self.gets_claims = 1000.0, 0.0, True
        self.done: list[str] = []
        self.answers: list[tuple[Any, dict[str, Any]]] = []
        self.events: list[Event] = []
        self.record = dict(RECORD)
        self.pending: list[tuple[str, PendingRemoval]] = []
        #: What this node knows of the others.
        self.confirmed, self.position, self.lost = True, cast("int | None", 0), set[str]()
        self.peers: dict[str, Any] = {}
        self.lost_sessions = [LostSession(SESSION, b"web", b'{"app":"shop"}'), LostSession("s2", b"", b"")]
        monkeypatch.setattr(failover, "monotonic", lambda: self.now)
        membership = SimpleNamespace(
            own_id=OWN,
            peers=self.peers,
            confirmed=lambda _now: self.confirmed,
            responder_position=lambda _now: self.position,
            is_lost=lambda node, _after, _now: node in self.lost,
        )
        names = SimpleNamespace(release_for_offline_owner=lambda *of: self.done.append(f"release name {of}"))
        session_store = SimpleNamespace(
            get_record=self._get_record,
            has_pending_removal=lambda node, removal: (node, removal) in self.pending,
            add_pending_removal=self._add_pending_removal,
            name_reservations=names,
            node_ids=lambda: [OWN, OWNER, "c" * 10],
            mark_lost=self._mark_lost,
            publish_event=self.events.append,
            prune_indexes=lambda _now: self.done.append("prune"),
        )
        request_store = SimpleNamespace(
            release=lambda _claim: self.done.append("release claim"),
            commit=lambda _claim, response, **more: self.answers.append((response, more)),
        )
        claimer = SimpleNamespace(claim=self._claim, reject_claimed=self._reject)
        parts = (request_store, session_store, membership, claimer, 30.0)
        self.responder = FailoverResponder(*cast(Any, parts))

    def answer(self, request: StatusRequest | RemoveRequest) -> Any:
        """Its response, or the error of that; None: it does not answer."""
        self.responder.answer(ReceivedRequest(request, b"payload", PUBLISHED, FRESH_UNTIL, VALID_UNTIL))
        return self.answers[-1][0] if self.answers else None

    def _claim(self, received: ReceivedRequest) -> Claim | None:
        self.done.append("claim")
        self.now += self.claim_takes
        return Claim(received.request.op, received.request.id, "digest") if self.gets_claims else None

    def _get_record(self, session: str) -> dict[str, str]:
        self.done.append(f"read {session}")
        return self.record

    def _add_pending_removal(self, node: str, removal: PendingRemoval) -> None:
        self.done.append("store removal")
        self.pending.append((node, removal))

    def _reject(self, _claim: Claim, error: Exception, session_id: str) -> None:
        self.done.append(f"reject {session_id}")
        self.answers.append((error, {}))

    def _mark_lost(self, node: str) -> list[LostSession]:
        self.done.append(f"lost {node}")
        return self.lost_sessions


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(monkeypatch)


@pytest.mark.parametrize("request_", [STATUS, REMOVE])
def test_a_node_that_is_not_confirmed_answers_for_no_other(node: Node, request_: StatusRequest | RemoveRequest) -> None:
    """To one that resumes after a freeze, all the others seem to be offline."""
    node.confirmed = False
    assert node.answer(request_) is None
    assert node.done == [], "it does not even claim"


@pytest.mark.parametrize("request_", [STATUS, REMOVE])
def test_a_request_that_another_node_has_claimed_is_left_to_it(
    node: Node, request_: StatusRequest | RemoveRequest
) -> None:
    node.gets_claims = False
    assert node.answer(request_) is None
    assert node.done == ["claim"]


def test_the_last_known_state_is_answered_as_stale_and_not_stored_for_long(node: Node) -> None:
    response = node.answer(STATUS)
    assert isinstance(response, StatusResponse)
    assert (response.cloud, response.status, response.state, response.stale) == (OWN, True, "running", True)
    assert node.answers[0][1] == {"retryable": True, "deadline": VALID_UNTIL}


def test_a_session_whose_node_is_lost_is_answered_as_lost(node: Node) -> None:
    node.lost = {OWNER}
    response = node.answer(STATUS)
    assert (response.status, response.state, response.stale) == (False, "lost", True)


def test_the_claim_of_a_status_that_took_too_long_is_released(node: Node) -> None:
    """Its owner may be back, and have answered meanwhile. A remove is another matter: it is carried out once."""
    node.claim_takes = 5.0
    assert node.answer(STATUS) is None
    assert node.done == ["claim", "release claim"]
    node.now = 1000.0
    assert node.answer(REMOVE) is not None


def test_a_session_of_this_node_that_is_not_in_memory_does_not_exist_whatever_redis_has(node: Node) -> None:
    session = "1" * 10 + OWN
    response = node.answer(StatusRequest("r", session))
    assert (response.id, response.status, response.state) == (session, False, UNSET)
    response = node.answer(RemoveRequest("r", session))
    assert isinstance(response, RemoveResponse)
    assert response.status is False
    assert not any(each.startswith("read") for each in node.done)


@pytest.mark.parametrize("session", ["nonsense", "x" * 20])
def test_an_id_that_no_node_can_own_is_answered_as_unknown(node: Node, session: str) -> None:
    node.record = {}
    assert node.answer(StatusRequest("r", session)) == StatusResponse(OWN, session, status=False)
    assert node.answer(RemoveRequest("r", session)) == RemoveResponse(OWN, session, status=False)
    assert node.pending == []


def test_where_no_node_knows_the_session_there_is_nothing_to_remove(node: Node) -> None:
    node.record = {}
    assert node.answer(REMOVE) == RemoveResponse(OWN, SESSION, status=False)
    assert node.answers[0][1] == {"deadline": VALID_UNTIL}
    assert node.pending == []


def test_a_remove_is_stored_for_the_owner_before_it_is_answered_and_releases_the_name(node: Node) -> None:
    error = node.answer(REMOVE)
    assert node.done == [
        "claim",
        f"read {SESSION}",
        "store removal",
        f"release name {(SESSION, 'web')}",
        f"reject {SESSION}",
    ]
    assert node.pending == [(OWNER, PendingRemoval(SESSION, "r", "digest"))]
    assert error.code == "owner_away"
    assert OWNER in error.message


def test_a_remove_that_waits_for_the_owner_still_does_when_the_record_is_gone(node: Node) -> None:
    """The session may be gone by then; it is for its owner to answer that it has removed it."""
    node.pending = [(OWNER, PendingRemoval(SESSION, "r", "digest"))]
    node.record = {}
    assert node.answer(REMOVE).code == "owner_away"
    assert not any(each.startswith("release name") for each in node.done), "the name is not known any more"


@pytest.mark.parametrize(("position", "confirmed"), [(1, True), (None, True), (0, False)])
def test_only_the_first_responder_that_is_confirmed_reports_lost_nodes(
    node: Node, position: int | None, confirmed: bool
) -> None:
    node.lost, node.position, node.confirmed = {OWNER}, position, confirmed
    node.responder.mark_lost_nodes()
    assert (node.done, node.events) == ([], [])


def test_a_lost_node_is_reported_once_and_again_after_another_heartbeat_of_it(node: Node) -> None:
    node.lost = {OWNER}
    node.peers[OWNER] = SimpleNamespace(last_seen=900.0)
    for _ in range(3):
        node.responder.mark_lost_nodes()
    assert node.done == [f"lost {OWNER}"]
    lost = [(event.event, event.cloud, event.session, event.name, event.labels) for event in node.events]
    named, plain = lost
    assert named == ("session.lost", OWNER, SESSION, "web", {"app": "shop"})
    assert plain == ("session.lost", OWNER, "s2", UNSET, UNSET)
    node.peers[OWNER].last_seen = 950.0
    node.responder.mark_lost_nodes()
    assert len(node.events) == 4


def test_one_node_prunes_the_indexes_and_all_check_again_which_nodes_are_lost(node: Node) -> None:
    """No heartbeat may have been received of a node that came back and died at once."""
    node.lost = {OWNER}
    node.responder.mark_lost_nodes()
    node.position = 1
    node.responder.prune_indexes()
    assert "prune" not in node.done
    node.position = 0
    node.responder.mark_lost_nodes()
    node.responder.prune_indexes()
    assert node.done == [f"lost {OWNER}"] * 2 + ["prune"]
