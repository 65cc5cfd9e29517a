"""What writing and erasing records tells of what stood there, and wishes that are answered."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
import redis

from pycloud.protocol.messages import Heartbeat, encode
from pycloud.protocol.session import State
from pycloud.store import sessions as registry_module
from pycloud.store.requests import Claim, CommitResult
from pycloud.store.sessions import PendingRemoval
from tests.support.store_nodes import NAMES, A, B, Shared, again, claim_of, response, session_for


def wish_of(claim: Claim) -> PendingRemoval:
    """The wish that a remove is put off as."""
    return PendingRemoval("s1", claim.id, claim.digest)


def removal() -> Claim:
    """A claimed remove."""
    return Claim("remove", uuid4().hex, "d")


def test_a_record_that_is_written_tells_what_it_said_before(clouds: dict[str, Shared]) -> None:
    running, ended, same = (session_for(A, claim_of()) for _ in range(3))
    assert clouds[A].registry.write_records([running, ended, same]) == []
    clouds[B].registry.mark_lost(A)
    clouds[A].registry.write_records([same])
    ended.mark_exited(3, None, 1002.0)
    changes = clouds[A].registry.write_records([running, ended, same])
    assert changes == [(running, "lost", State.RUNNING), (ended, "lost", State.EXITED)]
    assert clouds[A].registry.write_records([running, ended, same]) == []


def test_a_record_that_is_erased_tells_what_it_said(clouds: dict[str, Shared]) -> None:
    session = session_for(A, claim_of())
    clouds[A].registry.write_records([session])
    assert [clouds[A].registry.erase(session) for _ in range(2)] == ["running", None]


def test_who_is_counted_as_lost(clouds: dict[str, Shared]) -> None:
    sessions = [session_for(A, claim_of()) for _ in range(700)]
    clouds[A].registry.write_records(sessions)
    clouds[B].registry.mark_lost(A)
    clouds[A].registry.write_records(sessions[:100])
    ids = [session.id for session in sessions]
    assert clouds[A].registry.filter_lost(ids) == set(ids[100:])
    assert clouds[A].registry.filter_lost([]) == set()


def test_what_redis_remembers_of_a_cloud_and_of_a_create(clouds: dict[str, Shared]) -> None:
    session = session_for(A, claim_of())
    assert clouds[A].registry.last_heartbeat_at() is None
    assert not clouds[A].registry.has_request(session.request)
    clouds[A].registry.publish_heartbeat(Heartbeat(A, 1.0, 1000.5, 0, "i", "2", "h", "script", 60.0))
    clouds[A].registry.write_records([session_for(A, claim_of()) for _ in range(600)])
    clouds[A].registry.write_records([session])
    assert clouds[A].registry.last_heartbeat_at() == 1000.5
    assert clouds[B].registry.last_heartbeat_at() is None
    assert clouds[B].registry.has_request(session.request)
    assert not clouds[B].registry.has_request("another")


def test_the_sweep_misses_nobody_though_others_sweep_too(
    clouds: dict[str, Shared], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [session_for(A, claim_of()) for _ in range(1100)]
    clouds[A].registry.write_records(sessions)
    client.delete(*(NAMES.session_key(session.id) for session in sessions))
    monkeypatch.setattr(registry_module, "PAGE_SIZE", 100)
    look, looks = clouds[B].bus.execute_many, []

    def look_while_another_sweeps(commands: list[tuple[str, ...]]) -> object:
        looks.append(commands)
        if len(looks) == 1:
            client.zremrangebyrank(NAMES.sessions_key, 0, 99)
        return look(commands)

    monkeypatch.setattr(clouds[B].bus, "execute_many", look_while_another_sweeps)
    clouds[B].registry.prune_indexes(now=1000.0)
    assert client.zcard(NAMES.sessions_key) == 0


def test_a_wish_waits_until_it_is_fulfilled(clouds: dict[str, Shared]) -> None:
    wish = wish_of(removal())
    assert not clouds[B].registry.has_pending_removal(A, wish)
    clouds[B].registry.add_pending_removal(A, wish)
    assert clouds[B].registry.has_pending_removal(A, wish)
    assert not clouds[B].registry.has_pending_removal(A, wish_of(removal()))
    clouds[A].registry.delete_pending_removal(wish)
    assert not clouds[B].registry.has_pending_removal(A, wish)


def test_a_fulfilled_wish_is_answered_in_place_of_the_refusal(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = removal()
    clouds[B].ledger.claim(claim, b"p")
    clouds[B].ledger.commit(claim, response(B), retryable=True)
    clouds[A].ledger.store_deferred_response(again(claim), response(A))
    assert client.hget(NAMES.request_key("remove", claim.id), "response") == encode(response(A))


def test_what_was_answered_for_good_stays(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = removal()
    clouds[B].ledger.claim(claim, b"p")
    clouds[B].ledger.commit(claim, response(B))
    clouds[A].ledger.store_deferred_response(again(claim), response(A))
    assert client.hget(NAMES.request_key("remove", claim.id), "response") == encode(response(B))


def test_a_grant_comes_before_whoever_is_about_to_answer(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = removal()
    clouds[B].ledger.claim(claim, b"p")
    clouds[A].ledger.store_deferred_response(again(claim), response(A))
    assert clouds[B].ledger.commit(claim, response(B)) is CommitResult.CLAIM_LOST
    other = replace(claim, digest="d2", token="t2")
    clouds[A].ledger.store_deferred_response(other, response(B))
    assert client.hget(NAMES.request_key("remove", claim.id), "response") == encode(response(A))
