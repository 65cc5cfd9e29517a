"""Claims that ran out behind many that nobody may finish."""

from __future__ import annotations

import redis

from pycloud.store.requests import EXPIRED_CLAIMS_PAGE_SIZE, MAX_EXPIRED_PAYLOAD_BYTES, Claim, ExpiredClaim
from tests.support.store_nodes import NAMES, A, B, Shared, claim_of, lapse


def stuck(clouds: dict[str, Shared], client: redis.Redis, count: int, op: str = "create") -> list[Claim]:
    """Lapsed claims of cloud A from an earlier run of Redis."""
    claims = [Claim(op, f"stuck{number}", "d") for number in range(count)]
    for claim in claims:
        clouds[A].ledger.claim(claim, b"p")
        lapse(client, claim)
    for shared in clouds.values():
        shared.bus.run_id = "run2"
    return claims


def newer(clouds: dict[str, Shared], client: redis.Redis) -> Claim:
    """One of this run, which lapsed last."""
    claim = claim_of()
    clouds[A].ledger.claim(claim, b"new")
    lapse(client, claim)
    client.zadd(NAMES.claims_key, {claim.member: 2})
    return claim


def test_a_newer_claim_is_found_behind_creates_that_others_must_finish(
    clouds: dict[str, Shared], client: redis.Redis
) -> None:
    held = stuck(clouds, client, EXPIRED_CLAIMS_PAGE_SIZE + 100)
    claim = newer(clouds, client)
    looks = [clouds[B].ledger.expired_claims() for _ in range(4)]
    assert looks == [[], [ExpiredClaim("create", claim.id, b"new", own=False)]] * 2
    own = [lapsed for _ in range(2) for lapsed in clouds[A].ledger.expired_claims()]
    assert sorted(lapsed.id for lapsed in own) == sorted([claim.id, *(each.id for each in held)])
    assert all(lapsed.own for lapsed in own)


def test_removes_are_looked_at_by_all_and_yet_hide_nothing(clouds: dict[str, Shared], client: redis.Redis) -> None:
    stuck(clouds, client, 2 * EXPIRED_CLAIMS_PAGE_SIZE + 100, op="remove")
    claim = newer(clouds, client)
    looks = [[lapsed.id for lapsed in clouds[B].ledger.expired_claims()] for _ in range(3)]
    assert [len(look) for look in looks] == [EXPIRED_CLAIMS_PAGE_SIZE, EXPIRED_CLAIMS_PAGE_SIZE, 101]
    assert looks[2][-1] == claim.id


def test_large_requests_are_looked_at_a_few_at_a_time(clouds: dict[str, Shared], client: redis.Redis) -> None:
    """All clouds look at them each second, and a single one takes each."""
    large = [claim_of() for _ in range(20)]
    for claim in large:
        clouds[A].ledger.claim(claim, b"x" * (MAX_EXPIRED_PAYLOAD_BYTES // 4))
        lapse(client, claim)
    taken: list[str] = []
    while found := clouds[B].ledger.expired_claims():
        assert len(found) <= 4
        taken += [lapsed.id for lapsed in found]
        for lapsed in found:
            clouds[B].ledger.claim(claim_of(lapsed.id), lapsed.payload or b"")
    assert sorted(taken) == sorted(claim.id for claim in large)


def test_a_claim_whose_request_has_expired_is_found(clouds: dict[str, Shared], client: redis.Redis) -> None:
    (claim,) = stuck(clouds, client, 1)
    client.delete(NAMES.request_key(claim.op, claim.id))
    assert clouds[B].ledger.expired_claims() == [ExpiredClaim(claim.op, claim.id, None, own=False)]
