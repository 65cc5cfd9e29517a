"""Claims and answers in a real Redis, as several clouds see them: who may carry a request out, and who may answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast
from uuid import uuid4

import pytest
import redis

from pycloud import registry as registry_module
from pycloud.bus import Bus
from pycloud.messages import Rank, RemoveResponse
from pycloud.names import Names
from pycloud.registry import Claim, Outcome, Registry, Verdict
from pycloud.sessions import Session
from tests.support.plain_bus import PlainBus
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

A, B, C, D = ("a" * 10, "b" * 10, "c" * 10, "d" * 10)
NAMES = Names("test.pycloud")


@pytest.fixture
def client(each_redis: RedisServer) -> Iterator[redis.Redis]:
    """An empty Redis."""
    with redis.Redis.from_url(each_redis.url, protocol=2) as client:
        client.flushall()
        yield client


@pytest.fixture
def clouds(client: redis.Redis) -> dict[str, Registry]:
    """What four clouds see."""
    return {cloud: Registry(cast(Bus, PlainBus(client)), NAMES, cloud, 3600) for cloud in (A, B, C, D)}


def claim_of(request_id: str = "", digest: str = "d1") -> Claim:
    """A claim with a token of its own."""
    return Claim("create", request_id or uuid4().hex, digest)


def again(claim: Claim) -> Claim:
    """Another cloud's claim of the same request."""
    return replace(claim, token=uuid4().hex)


def session_for(cloud: str, claim: Claim) -> Session:
    """A running session that a claim came to."""
    session = Session(uuid4().hex[:10] + cloud, claim.id, claim.digest, claim.token, "host", 1000.0)
    session.run(40000, 1001.0)
    return session


def response(cloud: str) -> RemoveResponse:
    """Any answer."""
    return RemoveResponse(cloud, "s", status=True)


def lapse(client: redis.Redis, claim: Claim) -> None:
    """Let the lease of a claim run out now."""
    client.hset(NAMES.request_key(claim.op, claim.id), "lease", 1)
    client.zadd(NAMES.claims_key, {claim.member: 1})


def test_first_come_wins(clouds: dict[str, Registry]) -> None:
    claim = claim_of()
    assert clouds[A].claim(claim, b"payload") == (Verdict.CLAIMED, b"0")
    assert clouds[B].claim(again(claim), b"payload")[0] is Verdict.HELD
    assert clouds[A].claim(claim, b"payload")[0] is Verdict.CLAIMED, "a call that was sent twice"


def test_another_payload_is_a_conflict_before_and_after_the_answer(clouds: dict[str, Registry]) -> None:
    claim, other = claim_of(), claim_of(digest="d2")
    other = replace(other, id=claim.id)
    clouds[A].claim(claim, b"")
    assert clouds[B].claim(other, b"")[0] is Verdict.CONFLICT
    clouds[A].commit(claim, response(A))
    assert clouds[B].claim(other, b"")[0] is Verdict.CONFLICT


def test_an_answer_is_stored_published_and_replayed(clouds: dict[str, Registry], client: redis.Redis) -> None:
    claim = claim_of()
    with client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(NAMES.response_channel("create", claim.id))
        pubsub.get_message(timeout=5)
        clouds[A].claim(claim, b"payload")
        assert clouds[A].commit(claim, response(A)) is Outcome.COMMITTED
        message = pubsub.get_message(timeout=5)
        assert message
        verdict, stored = clouds[B].claim(again(claim), b"payload")
        assert (verdict, stored) == (Verdict.ANSWERED, message["data"])
        assert clouds[A].commit(claim, response(A)) is Outcome.ALREADY
        assert pubsub.get_message(timeout=0.1) is None, "answered once"
    assert client.zcard(NAMES.claims_key) == 0
    key = NAMES.request_key("create", claim.id)
    assert not client.hexists(key, "payload")
    assert 590_000 < client.pttl(key) <= 600_000


def test_a_lease_that_ran_out_is_taken_over_and_its_first_holder_answers_nothing(
    clouds: dict[str, Registry], client: redis.Redis
) -> None:
    claim = claim_of()
    clouds[A].claim(claim, b"the payload")
    assert clouds[B].lapsed() == []
    lapse(client, claim)
    assert clouds[B].lapsed() == [("create", claim.id, b"the payload")]
    taken = again(claim)
    assert clouds[B].claim(taken, b"the payload") == (Verdict.CLAIMED, b"1")
    clouds[A].renew([claim])
    assert clouds[A].commit(claim, response(A), record=session_for(A, claim)) is Outcome.LOST
    assert clouds[B].commit(taken, response(B)) is Outcome.COMMITTED
    assert clouds[A].commit(claim, response(A)) is Outcome.LOST
    assert client.keys("*session:*") == []


def test_after_two_take_overs_a_request_is_abandoned(clouds: dict[str, Registry], client: redis.Redis) -> None:
    claims = [claim_of()]
    clouds[A].claim(claims[0], b"p")
    verdicts = []
    for cloud in (B, C, D):
        lapse(client, claims[-1])
        claims.append(again(claims[0]))
        verdicts.append(clouds[cloud].claim(claims[-1], b"p")[0])
    assert verdicts == [Verdict.CLAIMED, Verdict.CLAIMED, Verdict.ABANDONED]
    assert clouds[C].commit(claims[2], response(C)) is Outcome.LOST
    assert clouds[D].commit(claims[3], response(D)) is Outcome.COMMITTED


def test_a_renewed_claim_does_not_lapse(clouds: dict[str, Registry], client: redis.Redis) -> None:
    claim = claim_of()
    clouds[A].claim(claim, b"p")
    lapse(client, claim)
    clouds[A].renew([claim])
    assert clouds[B].lapsed() == []
    assert clouds[B].claim(again(claim), b"p")[0] is Verdict.HELD
    clouds[A].commit(claim, response(A))
    clouds[A].renew([claim])
    assert client.zcard(NAMES.claims_key) == 0, "what is answered is not renewed"


def test_a_lease_runs_out_by_itself(
    clouds: dict[str, Registry], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "LEASE", 50)
    claim = claim_of()
    clouds[A].claim(claim, b"p")
    wait_until(lambda: clouds[B].lapsed() == [("create", claim.id, b"p")])
    assert clouds[B].claim(again(claim), b"p")[0] is Verdict.CLAIMED


def test_what_redis_has_forgotten_is_claimed_and_committed_at_once(
    clouds: dict[str, Registry], client: redis.Redis
) -> None:
    claim = claim_of()
    clouds[A].claim(claim, b"p")
    client.flushall()
    assert clouds[A].commit(claim, response(A)) is Outcome.COMMITTED
    assert clouds[B].claim(again(claim), b"p")[0] is Verdict.ANSWERED


def test_an_answer_that_may_pass_is_replayed_for_seconds_only(clouds: dict[str, Registry], client: redis.Redis) -> None:
    claim = claim_of()
    clouds[A].claim(claim, b"p")
    clouds[A].commit(claim, response(A), passing=True)
    assert 0 < client.pttl(NAMES.request_key("create", claim.id)) <= 5000


def test_a_session_is_recorded_and_erased_with_its_answers(clouds: dict[str, Registry], client: redis.Redis) -> None:
    claim, removal = claim_of(), Claim("remove", uuid4().hex, "d")
    session = session_for(A, claim)
    clouds[A].claim(claim, b"p")
    clouds[A].commit(claim, response(A), record=session)
    assert client.hget(NAMES.session_key(session.id), "port") == b"40000"
    assert clouds[A].recorded() == {session.id}
    assert client.zscore(NAMES.sessions_key, session.id) == 1000.0
    clouds[A].claim(removal, b"p")
    clouds[A].commit(removal, response(A), erase=session)
    assert clouds[A].recorded() == set()
    assert client.zcard(NAMES.sessions_key) == 0
    assert not client.exists(NAMES.session_key(session.id))


def test_an_empty_redis_is_told_everything_again(clouds: dict[str, Registry], client: redis.Redis) -> None:
    sessions = [session_for(A, claim_of()) for _ in range(1201)]
    clouds[A].announce(sessions)
    clouds[A].restore((session, session.token) for session in sessions)
    assert clouds[A].recorded() == {session.id for session in sessions}
    repeat = Claim("create", sessions[-1].request, sessions[-1].digest)
    verdict, stored = clouds[B].claim(repeat, b"p")
    assert verdict is Verdict.ANSWERED
    assert sessions[-1].id.encode() in stored
    conflict = replace(repeat, digest="other")
    assert clouds[B].claim(conflict, b"p")[0] is Verdict.CONFLICT


def test_what_was_answered_is_not_restored_over(clouds: dict[str, Registry]) -> None:
    claim = claim_of()
    clouds[B].claim(claim, b"p")
    clouds[B].commit(claim, response(B))
    late = session_for(A, again(claim))
    clouds[A].restore([(late, late.token)])
    assert B.encode() in clouds[A].claim(again(claim), b"p")[1]


def test_a_conflict_is_claimed_apart(clouds: dict[str, Registry], client: redis.Redis) -> None:
    claim = claim_of()
    clouds[A].claim(claim, b"p")
    apart = Claim("create", claim.id, "d2", variant="d2")
    assert clouds[B].claim(apart, b"")[0] is Verdict.CLAIMED
    clouds[B].commit(apart, response(B))
    assert clouds[A].claim(claim, b"p")[0] is Verdict.CLAIMED, "the first one goes on"
    assert client.zrange(NAMES.claims_key, 0, -1) == [claim.member.encode()]


def test_a_cloud_lives_as_long_as_its_heart_beats(clouds: dict[str, Registry], client: redis.Redis) -> None:
    rank = Rank(A, 1.0, 1000.0, 0, "i", "2", "h", "script", 0.1)
    assert not clouds[B].lives(A)
    clouds[A].beat(rank)
    assert clouds[B].lives(A)
    assert client.zscore(NAMES.clouds_key, A) == 1000.0
    wait_until(lambda: not clouds[B].lives(A))
    clouds[A].beat(replace_rank(rank))
    clouds[A].leave()
    assert not clouds[B].lives(A)


def replace_rank(rank: Rank) -> Rank:
    """The next beat, to be remembered for long."""
    return Rank(rank.id, 2.0, 1001.0, 0, "i", "2", "h", "script", 60.0)
