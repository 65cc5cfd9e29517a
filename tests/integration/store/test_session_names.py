"""Whose a name is, step by step: what ledgers and registries of several clouds do to it on a real Redis."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import redis

from pycloud.protocol.session import Session
from pycloud.store.records import RECORD_TTL
from pycloud.store.requests import NAME_LEASE, Claim, ClaimResult, CommitResult
from tests.support.plain_pipeline import PlainPipeline
from tests.support.store_nodes import NAMES, A, B, C, Shared, again, claim_of, lapse, response, session_for

KEY = NAMES.name_key("web")


def starting(cloud: str, claim: Claim) -> Session:
    """A session that is about to start, of a certain name."""
    session = Session(session_for(cloud, claim).id, claim.id, claim.digest, claim.token, "host", 1000.0)
    session.name = "web"
    return session


def answered(shared: Shared, session: Session) -> CommitResult:
    """Tell of a session that runs by now."""
    session.mark_running(40000, 1001.0)
    return shared.ledger.commit(Claim.of(session), response(session.node), record=session)


def owner(client: redis.Redis) -> tuple[str, str] | None:
    """Who has the name, and how; None: nobody."""
    found = [part and part.decode() for part in client.hmget(KEY, "session", "state")]
    return (found[0], found[1]) if found[0] else None


def test_a_name_goes_from_reserved_to_live_to_free_and_expires_in_each(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    session, other = starting(A, claim_of()), starting(B, claim_of())
    names, others = clouds[A].registry.name_reservations, clouds[B].registry.name_reservations
    assert names.reserve(session) is None
    assert (owner(client), others.reserve(other)) == ((session.id, "starting"), session.id)
    assert NAME_LEASE / 2 < client.pttl(KEY) <= NAME_LEASE
    assert answered(clouds[A], session) is CommitResult.COMMITTED
    assert (owner(client), others.reserve(other)) == ((session.id, "live"), session.id)
    assert RECORD_TTL / 2 < client.pttl(KEY) <= RECORD_TTL
    session.mark_exited(0, None, 1002.0)
    clouds[A].registry.write_records([session])
    assert owner(client) == (session.id, "ended")
    assert 0 < client.pttl(KEY) <= 3_600_000
    assert others.reserve(other) is None
    clouds[A].registry.write_records([session])
    clouds[A].registry.erase(session)
    assert owner(client) == (other.id, "starting"), "what ended has no say any more"
    others.release(other)
    assert owner(client) is None


def test_a_reservation_is_renewed_with_its_claim_and_not_with_another(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    claim, unrelated = replace(claim_of(), name="web"), replace(claim_of(), name="web")
    for each in (claim, unrelated):
        assert clouds[A].ledger.claim(each, b"{}")[0] is ClaimResult.CLAIMED
    clouds[A].registry.name_reservations.reserve(starting(A, claim))
    client.pexpire(KEY, 1000)
    clouds[A].ledger.renew([unrelated])
    assert client.pttl(KEY) <= 1000
    clouds[A].ledger.renew([claim])
    assert client.pttl(KEY) > 1000


def test_who_takes_a_create_over_gets_the_name_and_the_first_claimant_does_not_get_it_back(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"{}")
    first = starting(A, claim)
    clouds[A].registry.name_reservations.reserve(first)
    lapse(client, claim)
    taken_over = again(claim)
    assert clouds[B].ledger.claim(taken_over, b"{}")[0] is ClaimResult.CLAIMED
    second = starting(B, taken_over)
    assert clouds[B].registry.name_reservations.reserve(second) is None
    assert answered(clouds[A], first) is CommitResult.CLAIM_LOST
    clouds[A].registry.erase(first)
    assert owner(client) == (second.id, "starting")
    assert answered(clouds[B], second) is CommitResult.COMMITTED


def test_an_old_request_id_used_again_does_not_get_the_name_of_the_session_that_it_made(
    clouds: dict[str, Shared],
) -> None:
    claim = claim_of()
    first = starting(A, claim)
    clouds[A].registry.name_reservations.reserve(first)
    answered(clouds[A], first)
    assert clouds[B].registry.name_reservations.reserve(starting(B, again(claim))) == first.id


def test_a_session_is_not_answered_for_under_a_name_that_another_has_by_now(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    slow, quick = starting(A, claim_of()), starting(B, claim_of())
    clouds[A].ledger.claim(Claim.of(slow), b"{}")
    clouds[A].registry.name_reservations.reserve(slow)
    client.delete(KEY)  # it took longer than the reservation lasts, or Redis lost its data
    clouds[B].registry.name_reservations.reserve(quick)
    assert answered(clouds[A], slow) is CommitResult.NAME_TAKEN
    assert not client.exists(NAMES.session_key(slow.id))
    assert client.hget(NAMES.request_key("create", slow.request), "response") is None
    assert answered(clouds[B], quick) is CommitResult.COMMITTED


def test_a_living_session_takes_its_name_back_from_a_start_but_not_from_one_that_lives(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    first, second, third = (starting(cloud, claim_of()) for cloud in (A, B, C))
    answered(clouds[A], first)
    client.flushall()
    clouds[B].registry.name_reservations.reserve(second)
    clouds[A].registry.write_records([first])
    assert (owner(client), first.name) == ((first.id, "live"), "web")
    assert answered(clouds[B], second) is CommitResult.NAME_TAKEN
    client.flushall()
    answered(clouds[C], third)
    clouds[A].registry.write_records([first])
    assert (owner(client), first.name) == ((third.id, "live"), None)
    assert client.hget(NAMES.session_key(first.id), "name") is None


def test_a_name_that_was_given_up_is_not_asked_back_by_whoever_had_it(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    session = starting(A, claim_of())
    answered(clouds[A], session)
    clouds[B].registry.name_reservations.release_for_offline_owner(session.id, "web")
    assert owner(client) is None
    clouds[A].registry.write_records([session])
    assert (owner(client), session.name) == (None, None)


def test_a_session_that_nobody_knows_any_more_leaves_its_name(clouds: dict[str, Shared], client: redis.Redis) -> None:
    session = starting(A, claim_of())
    answered(clouds[A], session)
    clouds[A].registry.erase_unknown(session.id)
    assert owner(client) is None
    assert not client.exists(NAMES.session_key(session.id))


def test_only_a_create_with_a_name_asks_redis_once_more(clouds: dict[str, Shared]) -> None:
    def round_trips(session: Session, claim: Claim) -> int:
        with patch.object(PlainPipeline, "eval_script", autospec=True, side_effect=PlainPipeline.eval_script) as run:
            clouds[A].ledger.claim(claim, b"{}")
            clouds[A].registry.name_reservations.reserve(session)
            clouds[A].ledger.commit(claim, response(A), record=session)
        return run.call_count

    for make, expected in ((session_for, 2), (starting, 3)):
        claim = claim_of()
        assert round_trips(make(A, claim), claim) == expected
