"""Claims and answers in a real Redis: who may carry a request out, and who may answer it."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import pytest
import redis

from pycloud.protocol.responses import create_response
from pycloud.store import requests as ledger_module
from pycloud.store.request_claimer import RequestClaimer
from pycloud.store.requests import CLAIM_VALIDITY, STATUS_RESPONSE_TTL, Claim, ClaimResult, CommitResult, ExpiredClaim
from tests.support.store_nodes import NAMES, A, B, C, D, Shared, again, claim_of, lapse, response, session_for
from tests.support.waiting import wait_until


def test_first_come_wins(clouds: dict[str, Shared]) -> None:
    claim = claim_of()
    assert clouds[A].ledger.claim(claim, b"payload") == (ClaimResult.CLAIMED, 0)
    assert clouds[B].ledger.claim(again(claim), b"payload")[0] is ClaimResult.HELD
    assert clouds[A].ledger.claim(claim, b"payload")[0] is ClaimResult.CLAIMED, "a call that was sent twice"


def test_another_payload_is_a_conflict_before_and_after_the_answer(clouds: dict[str, Shared]) -> None:
    claim, other = claim_of(), claim_of(digest="d2")
    other = replace(other, id=claim.id)
    clouds[A].ledger.claim(claim, b"")
    assert clouds[B].ledger.claim(other, b"")[0] is ClaimResult.CONFLICT
    clouds[A].ledger.commit(claim, response(A))
    assert clouds[B].ledger.claim(other, b"")[0] is ClaimResult.CONFLICT


def test_an_answer_is_stored_published_and_replayed(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = claim_of()
    with client.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(NAMES.response_channel("create", claim.id))
        pubsub.get_message(timeout=5)
        clouds[A].ledger.claim(claim, b"payload")
        assert clouds[A].ledger.commit(claim, response(A)) is CommitResult.COMMITTED
        message = pubsub.get_message(timeout=5)
        assert message
        verdict, age = clouds[B].ledger.claim(again(claim), b"payload")
        assert verdict is ClaimResult.ANSWERED
        assert 0 <= age < 60
        clouds[B].ledger.replay(claim, 0)
        clouds[C].ledger.replay(claim, 60)
        replayed = pubsub.get_message(timeout=5)
        assert replayed
        assert replayed["data"] == message["data"]
        assert clouds[A].ledger.commit(claim, response(A)) is CommitResult.ALREADY_COMMITTED
        assert pubsub.get_message(timeout=0.1) is None, "answered once"
    assert client.zcard(NAMES.claims_key) == 0
    key = NAMES.request_key("create", claim.id)
    assert not client.hexists(key, "payload")
    assert 590_000 < client.pttl(key) <= 600_000


def test_a_lease_that_ran_out_is_taken_over_and_its_first_holder_answers_nothing(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"the payload")
    assert clouds[B].ledger.expired_claims() == []
    lapse(client, claim)
    assert clouds[B].ledger.expired_claims() == [ExpiredClaim("create", claim.id, b"the payload", own=False)]
    taken = again(claim)
    assert clouds[B].ledger.claim(taken, b"the payload") == (ClaimResult.CLAIMED, 0)
    clouds[A].ledger.renew([claim])
    assert clouds[A].ledger.commit(claim, response(A), record=session_for(A, claim)) is CommitResult.CLAIM_LOST
    assert clouds[B].ledger.commit(taken, response(B)) is CommitResult.COMMITTED
    assert clouds[A].ledger.commit(claim, response(A)) is CommitResult.CLAIM_LOST
    assert client.keys("*session:*") == []


def test_after_two_take_overs_a_create_is_abandoned(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claims = [claim_of()]
    clouds[A].ledger.claim(claims[0], b"p")
    verdicts = []
    for cloud in (B, C, D):
        lapse(client, claims[-1])
        claims.append(again(claims[0]))
        verdicts.append(clouds[cloud].ledger.claim(claims[-1], b"p")[0])
    assert verdicts == [ClaimResult.CLAIMED, ClaimResult.CLAIMED, ClaimResult.ABANDONED]
    assert clouds[C].ledger.commit(claims[2], response(C)) is CommitResult.CLAIM_LOST
    assert clouds[D].ledger.commit(claims[3], response(D)) is CommitResult.COMMITTED


@pytest.mark.parametrize("op", ["remove", "status"])
def test_a_remove_is_taken_over_for_as_long_as_it_takes(
    clouds: dict[str, Shared], client: redis.Redis, op: str
) -> None:
    """Its owner may be ending the session already: that nothing is done about it would not be true."""
    claim = replace(claim_of(), op=op)
    for cloud in (A, B, C, D, A, B):
        assert clouds[cloud].ledger.claim(claim, b"p")[0] is ClaimResult.CLAIMED
        lapse(client, claim)
        claim = again(claim)


def test_a_renewed_claim_does_not_lapse(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"p")
    lapse(client, claim)
    clouds[A].ledger.renew([claim])
    assert clouds[B].ledger.expired_claims() == []
    assert clouds[B].ledger.claim(again(claim), b"p")[0] is ClaimResult.HELD
    clouds[A].ledger.commit(claim, response(A))
    clouds[A].ledger.renew([claim])
    assert client.zcard(NAMES.claims_key) == 0, "what is answered is not renewed"


def test_a_lease_runs_out_by_itself(
    clouds: dict[str, Shared], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "LEASE", 50)
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"p")
    wait_until(lambda: clouds[B].ledger.expired_claims() == [ExpiredClaim("create", claim.id, b"p", own=False)])
    assert clouds[B].ledger.claim(again(claim), b"p")[0] is ClaimResult.CLAIMED


def test_what_redis_has_forgotten_is_claimed_and_committed_at_once(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"p")
    client.flushall()
    assert clouds[A].ledger.commit(claim, response(A)) is CommitResult.COMMITTED
    assert clouds[B].ledger.claim(again(claim), b"p")[0] is ClaimResult.ANSWERED


def test_an_answer_that_may_pass_is_replayed_for_seconds_only(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"p")
    clouds[A].ledger.commit(claim, response(A), retryable=True)
    assert clouds[B].ledger.claim(again(claim), b"p")[0] is ClaimResult.ANSWERED
    assert clouds[B].ledger.are_claimed([("create", claim.id)]) == [True]
    until = int(client.hget(NAMES.request_key("create", claim.id), "until") or 0)
    seconds, micros = client.time()
    assert 0 < until - (seconds * 1000 + micros // 1000) <= 5000
    client.hset(NAMES.request_key("create", claim.id), "until", 1)
    assert clouds[B].ledger.are_claimed([("create", claim.id)]) == [False]
    late = clouds[B].ledger.claim(again(claim), b"p", fresh_until=0.0)
    assert late[0] is ClaimResult.HELD, "what was held up starts nothing that was refused meanwhile"
    anew = again(claim)
    assert clouds[B].ledger.claim(anew, b"p")[0] is ClaimResult.CLAIMED
    assert clouds[A].ledger.commit(claim, response(A)) is CommitResult.CLAIM_LOST, (
        "nor is it answered by who had claimed it first"
    )
    assert clouds[B].ledger.commit(anew, response(B)) is CommitResult.COMMITTED
    assert clouds[A].ledger.claim(again(claim), b"p")[0] is ClaimResult.ANSWERED


def test_a_status_that_is_refused_is_forgotten_after_seconds(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = replace(claim_of(), op="status")
    clouds[A].ledger.claim(claim, b"p")
    clouds[A].ledger.commit(claim, response(A), retryable=True)
    assert 0 < client.pttl(NAMES.request_key("status", claim.id)) <= STATUS_RESPONSE_TTL
    late = replace(claim_of(), op="status")
    assert clouds[B].ledger.claim(late, b"p", valid_until=0.0)[0] is ClaimResult.HELD
    assert not client.exists(NAMES.request_key("status", late.id)), "what comes too late is not even claimed"


def test_what_was_answered_is_not_restored_over(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = claim_of()
    clouds[B].ledger.claim(claim, b"p")
    clouds[B].ledger.commit(claim, response(B))
    late = session_for(A, again(claim))
    clouds[A].ledger.restore_responses([(Claim.of(late), create_response(late))])
    assert B.encode() in (client.hget(NAMES.request_key("create", claim.id), "response") or b"")


def test_a_conflict_is_claimed_apart(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"p")
    apart = Claim("create", claim.id, "d2", variant="d2")
    assert clouds[B].ledger.claim(apart, b"")[0] is ClaimResult.CLAIMED
    clouds[B].ledger.commit(apart, response(B))
    assert clouds[A].ledger.claim(claim, b"p")[0] is ClaimResult.CLAIMED, "the first one goes on"
    assert client.zrange(NAMES.claims_key, 0, -1) == [claim.member.encode()]


def test_a_claim_from_an_earlier_run_is_finished_by_its_holder_only(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"p")
    lapse(client, claim)
    for shared in clouds.values():
        shared.bus.run_id = "run2"
    assert clouds[B].ledger.claim(again(claim), b"p")[0] is ClaimResult.HELD
    assert clouds[A].ledger.claim(again(claim), b"p")[0] is ClaimResult.CLAIMED, "its cloud, started again"


def test_a_claim_from_an_earlier_run_that_was_renewed_since_is_taken_over(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    """Its holder lived on and went on with it, say with the pull of an image, and died only then."""
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"p")
    for shared in clouds.values():
        shared.bus.run_id = "run2"
    clouds[A].ledger.renew([claim])
    lapse(client, claim)
    assert clouds[B].ledger.expired_claims() == [ExpiredClaim("create", claim.id, b"p", own=False)]
    assert clouds[B].ledger.claim(again(claim), b"p")[0] is ClaimResult.CLAIMED


def test_a_claim_from_an_earlier_run_is_finished_by_the_owner_of_what_it_is_about(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"p")
    lapse(client, claim)
    assert [lapsed.own for cloud in (A, B) for lapsed in clouds[cloud].ledger.expired_claims()] == [True, False]
    clouds[B].bus.run_id = "run2"
    assert clouds[B].ledger.claim(again(claim), b"p", own_session=True)[0] is ClaimResult.CLAIMED


def test_what_may_have_been_answered_and_forgotten_is_not_begun(clouds: dict[str, Shared], client: redis.Redis) -> None:
    """By a cloud that was frozen for longer than answers are remembered."""
    claim = claim_of()
    assert clouds[A].ledger.claim(claim, b"p", fresh_until=0.0, valid_until=0.0) == (ClaimResult.HELD, 0)
    assert clouds[A].ledger.are_claimed([("create", claim.id)]) == [False]
    assert clouds[A].ledger.claim(claim, b"p", fresh_until=0.0)[0] is ClaimResult.CLAIMED, "late, and not too late"


def test_what_may_have_been_taken_over_and_forgotten_is_not_answered(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    claim = claim_of()
    session = session_for(A, claim)
    assert clouds[A].ledger.commit(claim, response(A), record=session, deadline=0.0) is CommitResult.CLAIM_LOST
    assert not client.exists(NAMES.session_key(session.id))
    clouds[A].ledger.commit(claim, response(A), record=session)
    client.delete(NAMES.request_key("create", claim.id))
    again_ = clouds[A].ledger.commit(claim, response(A), record=session, deadline=0.0)
    assert again_ is CommitResult.ALREADY_COMMITTED, "it was, and the connection broke over it"


def test_a_claim_is_known_for_a_while_after_each_renewal(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claims, claim, other = RequestClaimer(A, clouds[A].ledger), claim_of(), claim_of()
    for each in (claim, other):
        clouds[A].ledger.claim(each, b"p")
    assert claims.valid_until(claim) == float("inf"), "not worked on"
    with claims.hold(claim, 1.0), claims.hold(other, 1.0):
        lapse(client, other)
        clouds[B].ledger.claim(again(other), b"p")
        before = monotonic()
        claims.renew()
        assert before + CLAIM_VALIDITY <= claims.valid_until(claim) <= monotonic() + CLAIM_VALIDITY
        assert claims.valid_until(other) == 1.0, "another's by now"


def test_a_claim_given_back_is_for_the_next(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"p")
    clouds[B].ledger.release(again(claim))
    assert clouds[A].ledger.are_claimed([("create", claim.id)]) == [True], "another's claim is not given back"
    clouds[A].ledger.release(claim)
    assert clouds[A].ledger.are_claimed([("create", claim.id)]) == [False]
    assert client.zcard(NAMES.claims_key) == 0
    assert clouds[B].ledger.claim(again(claim), b"p") == (ClaimResult.CLAIMED, 0)


def test_an_old_snapshot_that_has_a_claim_of_an_answered_create(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"p")
    session = session_for(A, claim)
    clouds[A].ledger.restore_responses([(Claim.of(session), create_response(session))])
    assert clouds[B].ledger.claim(again(claim), b"p")[0] is ClaimResult.ANSWERED
    assert client.zcard(NAMES.claims_key) == 0
