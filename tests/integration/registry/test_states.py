"""What writing and erasing records tells of what stood there, and wishes that are answered."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
import redis

from pycloud.protocol.messages import Rank, encode
from pycloud.protocol.session import State
from pycloud.store import sessions as registry_module
from pycloud.store.requests import Claim, Outcome
from pycloud.store.sessions import Wish
from tests.support.shared import NAMES, A, B, Shared, again, claim_of, response, session_for


def wish_of(claim: Claim) -> Wish:
    """The wish that a remove is put off as."""
    return Wish("s1", claim.id, claim.digest)


def removal() -> Claim:
    """A claimed remove."""
    return Claim("remove", uuid4().hex, "d")


def test_a_record_that_is_written_tells_what_it_said_before(clouds: dict[str, Shared]) -> None:
    running, ended, same = (session_for(A, claim_of()) for _ in range(3))
    assert clouds[A].registry.announce([running, ended, same]) == []
    clouds[B].registry.mark_lost(A)
    clouds[A].registry.announce([same])
    ended.exit(3, None, 1002.0)
    changes = clouds[A].registry.announce([running, ended, same])
    assert changes == [(running, "lost", State.RUNNING), (ended, "lost", State.EXITED)]
    assert clouds[A].registry.announce([running, ended, same]) == []


def test_a_record_that_is_erased_tells_what_it_said(clouds: dict[str, Shared]) -> None:
    session = session_for(A, claim_of())
    clouds[A].registry.announce([session])
    assert [clouds[A].registry.erase(session) for _ in range(2)] == ["running", None]


def test_who_is_counted_as_lost(clouds: dict[str, Shared]) -> None:
    sessions = [session_for(A, claim_of()) for _ in range(700)]
    clouds[A].registry.announce(sessions)
    clouds[B].registry.mark_lost(A)
    clouds[A].registry.announce(sessions[:100])
    ids = [session.id for session in sessions]
    assert clouds[A].registry.counted_lost(ids) == set(ids[100:])
    assert clouds[A].registry.counted_lost([]) == set()


def test_what_redis_remembers_of_a_cloud_and_of_a_create(clouds: dict[str, Shared]) -> None:
    session = session_for(A, claim_of())
    assert clouds[A].registry.last_beat() is None
    assert not clouds[A].registry.holds_request(session.request)
    clouds[A].registry.beat(Rank(A, 1.0, 1000.5, 0, "i", "2", "h", "script", 60.0))
    clouds[A].registry.announce([session_for(A, claim_of()) for _ in range(600)])
    clouds[A].registry.announce([session])
    assert clouds[A].registry.last_beat() == 1000.5
    assert clouds[B].registry.last_beat() is None
    assert clouds[B].registry.holds_request(session.request)
    assert not clouds[B].registry.holds_request("another")


def test_the_sweep_misses_nobody_though_others_sweep_too(
    clouds: dict[str, Shared], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [session_for(A, claim_of()) for _ in range(1100)]
    clouds[A].registry.announce(sessions)
    client.delete(*(NAMES.session_key(session.id) for session in sessions))
    monkeypatch.setattr(registry_module, "PAGE", 100)
    look, looks = clouds[B].bus.call_many, []

    def look_while_another_sweeps(commands: list[tuple[str, ...]]) -> object:
        looks.append(commands)
        if len(looks) == 1:
            client.zremrangebyrank(NAMES.sessions_key, 0, 99)
        return look(commands)

    monkeypatch.setattr(clouds[B].bus, "call_many", look_while_another_sweeps)
    clouds[B].registry.sweep(now=1000.0)
    assert client.zcard(NAMES.sessions_key) == 0


def test_a_wish_waits_until_it_is_fulfilled(clouds: dict[str, Shared]) -> None:
    wish = wish_of(removal())
    assert not clouds[B].registry.is_wished(A, wish)
    clouds[B].registry.wish(A, wish)
    assert clouds[B].registry.is_wished(A, wish)
    assert not clouds[B].registry.is_wished(A, wish_of(removal()))
    clouds[A].registry.fulfilled(wish)
    assert not clouds[B].registry.is_wished(A, wish)


def test_a_fulfilled_wish_is_answered_in_place_of_the_refusal(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = removal()
    clouds[B].ledger.claim(claim, b"p")
    clouds[B].ledger.commit(claim, response(B), passing=True)
    clouds[A].ledger.grant(again(claim), response(A))
    assert client.hget(NAMES.request_key("remove", claim.id), "response") == encode(response(A))


def test_what_was_answered_for_good_stays(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = removal()
    clouds[B].ledger.claim(claim, b"p")
    clouds[B].ledger.commit(claim, response(B))
    clouds[A].ledger.grant(again(claim), response(A))
    assert client.hget(NAMES.request_key("remove", claim.id), "response") == encode(response(B))


def test_a_grant_comes_before_whoever_is_about_to_answer(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim = removal()
    clouds[B].ledger.claim(claim, b"p")
    clouds[A].ledger.grant(again(claim), response(A))
    assert clouds[B].ledger.commit(claim, response(B)) is Outcome.LOST
    other = replace(claim, digest="d2", token="t2")
    clouds[A].ledger.grant(other, response(B))
    assert client.hget(NAMES.request_key("remove", claim.id), "response") == encode(response(A))
