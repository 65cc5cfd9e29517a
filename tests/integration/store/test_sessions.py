"""Sessions and clouds in a real Redis, as other clouds see them."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
import redis

from pycloud.protocol.messages import Event, Heartbeat
from pycloud.protocol.responses import create_response
from pycloud.store import requests as ledger_module
from pycloud.store import sessions as registry_module
from pycloud.store.requests import Claim, ClaimResult
from pycloud.store.sessions import PendingRemoval
from tests.support.store_nodes import NAMES, A, B, C, Shared, claim_of, response, session_for
from tests.support.waiting import wait_until


def test_a_session_is_recorded_and_erased_with_its_answers(clouds: dict[str, Shared], client: redis.Redis) -> None:
    claim, removal = claim_of(), Claim("remove", uuid4().hex, "d")
    session = session_for(A, claim)
    clouds[A].ledger.claim(claim, b"p")
    clouds[A].ledger.commit(claim, response(A), record=session)
    assert client.hget(NAMES.session_key(session.id), "port") == b"40000"
    assert clouds[A].registry.recorded_session_ids() == {session.id}
    assert client.zscore(NAMES.sessions_key, session.id) == 1000.0
    clouds[A].ledger.claim(removal, b"p")
    clouds[A].ledger.commit(removal, response(A), erase=session)
    assert clouds[A].registry.recorded_session_ids() == set()
    assert client.zcard(NAMES.sessions_key) == 0
    assert not client.exists(NAMES.session_key(session.id))


def test_an_empty_redis_is_told_everything_again(clouds: dict[str, Shared], client: redis.Redis) -> None:
    sessions = [session_for(A, claim_of()) for _ in range(1201)]
    clouds[A].registry.write_records(sessions)
    clouds[A].ledger.restore_responses((Claim.of(session), create_response(session)) for session in sessions)
    assert clouds[A].registry.recorded_session_ids() == {session.id for session in sessions}
    repeat = Claim("create", sessions[-1].request, sessions[-1].digest)
    verdict, age = clouds[B].ledger.claim(repeat, b"p")
    assert age > 60, "nobody knows when, but not just now"
    assert verdict is ClaimResult.ANSWERED
    assert sessions[-1].id.encode() in (client.hget(NAMES.request_key("create", repeat.id), "response") or b"")
    conflict = replace(repeat, digest="other")
    assert clouds[B].ledger.claim(conflict, b"p")[0] is ClaimResult.CONFLICT


def test_a_cloud_lives_as_long_as_its_heart_beats(clouds: dict[str, Shared], client: redis.Redis) -> None:
    rank = Heartbeat(A, 1.0, 1000.0, 0, "i", "2", "h", "script", 0.1)
    assert not client.exists(NAMES.node_key(A))
    clouds[A].registry.publish_heartbeat(rank)
    assert client.exists(NAMES.node_key(A))
    assert client.zscore(NAMES.nodes_key, A) == 1000.0
    wait_until(lambda: not client.exists(NAMES.node_key(A)))
    clouds[A].registry.publish_heartbeat(replace_rank(rank))
    clouds[A].registry.delete_heartbeat()
    assert not client.exists(NAMES.node_key(A))


def replace_rank(rank: Heartbeat) -> Heartbeat:
    """The next beat, to be remembered for long."""
    return Heartbeat(rank.id, 2.0, 1001.0, 0, "i", "2", "h", "script", 60.0)


def test_sessions_are_lost_only_while_their_cloud_is_away(clouds: dict[str, Shared], client: redis.Redis) -> None:
    running, ended = session_for(A, claim_of()), session_for(A, claim_of())
    ended.mark_exited(0, None, 1002.0)
    clouds[A].registry.write_records([running, ended])
    clouds[A].registry.write_heartbeat(Heartbeat(A, 1.0, 1000.0, 0, "i", "2", "h", "script", 60.0))
    assert clouds[B].registry.mark_lost(A) == []
    clouds[A].registry.delete_heartbeat()
    assert [lost.session for lost in clouds[B].registry.mark_lost(A)] == [running.id]
    assert clouds[C].registry.mark_lost(A) == [], "told once"
    assert clouds[B].registry.get_record(running.id)["state"] == "lost"
    assert clouds[B].registry.get_record(ended.id)["state"] == "exited"
    clouds[A].registry.write_records([running])
    assert clouds[B].registry.get_record(running.id)["state"] == "running", "a cloud may come back"


def test_wishes_wait_for_their_cloud(clouds: dict[str, Shared]) -> None:
    first, second = PendingRemoval("s1", "r1", "d"), PendingRemoval("s2", "r2", "d")
    for cloud, wish in ((B, first), (C, first), (C, second)):
        clouds[cloud].registry.add_pending_removal(A, wish)
    assert sorted(wish.session for wish in clouds[A].registry.list_pending_removals()) == ["s1", "s2"]
    clouds[A].registry.delete_pending_removal(first)
    assert clouds[A].registry.list_pending_removals() == [second]
    assert clouds[B].registry.list_pending_removals() == []


def test_the_stream_of_events_keeps_the_newest(
    clouds: dict[str, Shared], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (registry_module, ledger_module):
        monkeypatch.setattr(module, "MAX_EVENTS", 100)
    event = Event("session.running", A, 1.0)
    for _ in range(500):
        clouds[A].registry.publish_event(event)
    assert 100 <= client.xlen(NAMES.events_key) < 300, "a server trims whole nodes"
    for _ in range(500):
        clouds[A].ledger.commit(claim_of(), response(A), event=event)
    assert 100 <= client.xlen(NAMES.events_key) < 300


def test_what_has_expired_is_swept_out_of_the_indexes(clouds: dict[str, Shared], client: redis.Redis) -> None:
    sessions = [session_for(A, claim_of()) for _ in range(1100)]
    clouds[A].registry.write_records(sessions)
    for session in sessions[:600]:
        client.delete(NAMES.session_key(session.id))
    client.zadd(NAMES.nodes_key, {A: 1000.0, B: 9e8})
    clouds[B].registry.prune_indexes(now=9e8)
    assert client.zcard(NAMES.sessions_key) == 500
    assert clouds[A].registry.recorded_session_ids() == {session.id for session in sessions[600:]}
    assert clouds[B].registry.node_ids() == [B]


def test_a_sweep_that_finds_nothing_asks_one_question_a_page(clouds: dict[str, Shared], client: redis.Redis) -> None:
    clouds[A].registry.write_records([session_for(A, claim_of()) for _ in range(1100)])
    client.config_resetstat()
    clouds[B].registry.prune_indexes(now=9e8)
    asked = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    assert (asked["cmdstat_exists"], asked["cmdstat_zrangebyscore"]) == (3, 3)
