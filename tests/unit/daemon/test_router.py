"""In a crowd of clouds each request is the business of few: the others decode it, and that is all."""

from __future__ import annotations

from collections import Counter
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from pycloud.cluster.deferred_requests import DeferredRequest, DeferredRequests
from pycloud.cluster.membership import Membership
from pycloud.daemon.router import Router
from pycloud.protocol.messages import Heartbeat
from pycloud.protocol.received import DIRECT, PUBLISHED, ReceivedRequest, Source
from pycloud.protocol.requests import CreateRequest, RemoveRequest, Request, StatusRequest

CLOUDS = [f"{number:010x}" for number in range(30)]
CREATE = b"the payload"
#: One at once, two a little later, five much later.
CARING = 8


class Member:
    """A router that carries nothing out: ``acted`` and ``kept`` count."""

    def __init__(self, cloud: str) -> None:
        self.view, self.standby, self.acted = Membership(cloud, "i", 60.0), DeferredRequests(cast(Any, None)), 0
        act = self._act
        claimer = SimpleNamespace(reject=act)
        self.handed_over: list[str] = []
        session_store = SimpleNamespace(forward=lambda _op, _payload, cloud: self.handed_over.append(cloud))
        self.cloud = SimpleNamespace(
            sessions={}, claimer=claimer, create=act, remove=act, status=act, session_store=session_store
        )
        self.cloud.rejection_for = lambda _request: None
        self.router = Router(cast(Any, self.cloud), self.view, cast(Any, SimpleNamespace(answer=act)), self.standby)
        self.router.spawn = self._act  # type: ignore[method-assign]

    @property
    def kept(self) -> int:
        return sum(map(len, self.standby._queues.values()))

    def _act(self, *_args: object, **_more: object) -> None:
        self.acted += 1


@pytest.fixture
def crowd() -> dict[str, Member]:
    """Thirty clouds that have all heard each other just now."""
    members, now = {cloud: Member(cloud) for cloud in CLOUDS}, monotonic()
    for cloud in CLOUDS:
        rank = Heartbeat(cloud, 1.0, 0.0, 0, "i", "2", "h", "script", 60.0, sent=now)
        for member in members.values():
            member.view.on_heartbeat(rank, now)
    return members


def test_of_thirty_clouds_one_takes_a_create_and_few_keep_it(crowd: dict[str, Member]) -> None:
    for number in range(300):
        before = Counter({cloud: member.acted + member.kept for cloud, member in crowd.items()})
        for member in crowd.values():
            member.router.route(CreateRequest(f"r{number}", "script"), CREATE, PUBLISHED)
        after = Counter({cloud: member.acted + member.kept for cloud, member in crowd.items()})
        assert len(after - before) == CARING
    assert {member.acted for member in crowd.values()} == {10}


@pytest.mark.parametrize("kind", [StatusRequest, RemoveRequest])
def test_whose_session_it_is_not_does_nothing(
    crowd: dict[str, Member], kind: type[StatusRequest | RemoveRequest]
) -> None:
    for number, owner in enumerate(CLOUDS):
        session = "0" * 10 + owner
        crowd[owner].cloud.sessions[session] = SimpleNamespace(id=session)
        for member in crowd.values():
            member.router.route(kind(f"r{number}", session), CREATE, PUBLISHED)
    assert {(member.acted, member.kept) for member in crowd.values()} == {(1, 0)}


def test_of_what_nobody_knows_one_cloud_says_so(crowd: dict[str, Member]) -> None:
    for member in crowd.values():
        member.router.route(StatusRequest("r", "nonsense"), CREATE, PUBLISHED)
    assert sum(member.acted for member in crowd.values()) == 1
    assert sum(member.kept for member in crowd.values()) == CARING - 1


@pytest.mark.parametrize(
    ("full", "request_"),
    [(True, CreateRequest("r", "script")), (False, CreateRequest("r", "script", where={"region": "eu"}))],
)
def test_where_nobody_can_take_a_create_one_cloud_says_so_at_once(
    crowd: dict[str, Member], full: bool, request_: CreateRequest
) -> None:
    for member in crowd.values():
        for peer in member.view.peers.values():
            peer.last_heartbeat = msgspec.structs.replace(peer.last_heartbeat, capacity=0 if full else None)
        member.router.route(request_, CREATE, PUBLISHED)
    assert sum(member.acted for member in crowd.values()) == 1
    assert sum(member.kept for member in crowd.values()) == CARING - 1, "should that one die over it"


@pytest.mark.parametrize(("late", "acted"), [(False, 1), (True, 0)])
@pytest.mark.parametrize(
    "request_", [StatusRequest("r", "nonsense"), RemoveRequest("r", "nonsense"), CreateRequest("r", "script")]
)
def test_what_was_kept_for_long_is_left_to_who_asks_again(
    crowd: dict[str, Member], request_: Request, late: bool, acted: int
) -> None:
    member = crowd[CLOUDS[0]]
    until = monotonic() + (-1.0 if late else 60.0)
    received = ReceivedRequest(request_, CREATE, PUBLISHED, fresh_until=until, valid_until=until)
    member.router.reconsider(DeferredRequest(received, our_turn=True))
    assert member.acted == acted


def test_creates_with_a_name_wait_until_a_new_redis_was_told_which_names_there_are(crowd: dict[str, Member]) -> None:
    plain, named = CreateRequest("r1", "script"), CreateRequest("r2", "script", name="web")
    for member in crowd.values():
        member.router.on_server_changed()
        for request in (plain, named):
            member.router.route(request, CREATE, PUBLISHED)
    assert sum(member.acted for member in crowd.values()) == 1, "the plain one, at once"
    kept = [kept for member in crowd.values() for queue in member.standby._queues.values() for _at, kept in queue]
    caring = [each for each in kept if each.received.request.id == "r2"]
    assert 0 < len(caring) <= CARING
    assert all(each.our_turn for each in caring)
    some = next(iter(crowd.values()))
    before = some.acted
    deferred = DeferredRequest(ReceivedRequest(named, CREATE, PUBLISHED), our_turn=True)
    some.router.reconsider(deferred)
    assert some.acted == before
    some.router._resync_until = 0.0
    some.router.reconsider(deferred)
    assert some.acted == before + 1


@pytest.mark.parametrize("heard", [PUBLISHED, DIRECT])
def test_what_waited_for_a_cloud_that_was_frozen_for_long_is_not_begun(crowd: dict[str, Member], heard: Source) -> None:
    """Others have answered it, and its answer is forgotten. What comes on a new subscription is news."""
    member, now = crowd[CLOUDS[0]], monotonic()
    member.view._last_confirming_heartbeat = member.view._last_own_heartbeat = now - 700.0
    member.router.route(CreateRequest("old", "script"), CREATE, heard)
    assert (member.acted, member.kept) == (0, 0)
    member.view.on_subscribing(now)
    member.router.route(CreateRequest("new", "script"), CREATE, heard)
    assert member.acted + member.kept == 1


EU = CreateRequest("r", "script", where={"region": "eu"})


def rank(cloud: str, **more: Any) -> Heartbeat:
    """What a cloud says that beats once a second, as just now."""
    return Heartbeat(cloud, time=0.0, version="2", host="h", runtime="script", heartbeat=1.0, **more)


@pytest.mark.parametrize(("listening", "acted"), [(1.0, 0), (60.0, 1)])
def test_who_may_just_have_missed_a_cloud_that_fits_refuses_nothing_yet(listening: float, acted: int) -> None:
    """It was cut off, say, as the others were, and it happens to be heard again before them."""
    member, now = Member("a"), monotonic()
    member.view.on_heartbeat(
        rank("b", score=1.0, sessions=0, instance="i", labels={"region": "eu"}), now - listening - 4.0
    )
    member.view.on_heartbeat(rank("a", score=1.0, sessions=0, instance="i", sent=now - listening), now - listening)
    member.view._last_confirming_heartbeat = now
    member.router.route(EU, CREATE, PUBLISHED)
    assert (member.acted, member.kept) == (acted, 1 - acted)


def test_what_nobody_heard_that_fits_is_handed_over_by_one_of_those_who_do_not() -> None:
    members, now = [Member("a"), Member("b")], monotonic()
    for member in members:
        for cloud, score, labels in (("a", 1.0, {}), ("b", 2.0, {}), ("c", 3.0, {"region": "eu"})):
            member.view.on_heartbeat(rank(cloud, score=score, sessions=0, instance="i", labels=labels, sent=now), now)
        member.router.spawn = lambda work, *args: work(*args)  # type: ignore[method-assign]
        member.router.reconsider(DeferredRequest(ReceivedRequest(EU, CREATE, PUBLISHED), our_turn=True))
    assert [member.handed_over for member in members] == [["c"], []]
    assert [(member.acted, member.kept) for member in members] == [(0, 1)] * 2, "and both see that it acts"
