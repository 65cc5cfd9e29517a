"""The hash of a session, and the response that another node builds from it while the owner is offline."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import json

from pycloud.protocol.messages import encode
from pycloud.protocol.session import Session
from pycloud.store.records import RECORD_TTL, parse_labels, record_of, record_ttl, stale_response

OWNER, OTHER = "b" * 10, "c" * 10
LABELS = {"mode": "duel"}


@pytest.fixture
def session() -> Session:
    found = Session(id="a" * 10 + OWNER, request="r", digest="d", token="t", host="game7", created=1.5, labels=LABELS)
    found.mark_running(40123, 2.5)
    return found


def record(session: Session) -> dict[str, str]:
    fields = record_of(session)
    return dict(zip(fields[::2], fields[1::2], strict=True))


def stale(found: dict[str, str], *, lost: bool) -> dict[str, Any]:
    answer: dict[str, Any] = json.decode(encode(stale_response(OTHER, "a" * 10 + OWNER, found, lost=lost)))
    return answer


def test_the_record_of_a_live_session_leaves_out_the_fields_without_a_value(session: Session) -> None:
    assert record(session) == {
        "cloud": OWNER,
        "state": "running",
        "host": "game7",
        "port": "40123",
        "created": "1.5",
        "started": "2.5",
        "request": "r",
        "runtime": "script",
        "labels": '{"mode":"duel"}',
    }
    assert parse_labels(record(session)) == LABELS


def test_another_node_responds_with_the_last_known_state(session: Session) -> None:
    answer = stale(record(session), lost=False)
    assert answer == {
        "cloud": OTHER,
        "id": "a" * 10 + OWNER,
        "status": True,
        "state": "running",
        "host": "game7",
        "port": 40123,
        "created": 1.5,
        "started": 2.5,
        "stale": True,
        "labels": LABELS,
    }


def test_a_live_session_of_a_lost_node_is_lost_and_an_ended_one_keeps_its_end(session: Session) -> None:
    lost = stale(record(session), lost=True)
    assert (lost["status"], lost["state"], "exit_code" in lost) == (False, "lost", False)
    session.mark_exited(7, None, 9.0)
    ended = stale(record(session), lost=True)
    assert (ended["status"], ended["state"], ended["exit_code"], ended["ended"]) == (False, "exited", 7, 9.0)


def test_an_empty_record_is_that_of_a_lost_session() -> None:
    answer = stale({}, lost=False)
    assert (answer["status"], answer["state"], answer["port"], answer["stale"]) == (False, "lost", None, True)


@pytest.mark.parametrize(("retention", "expected"), [(3600.0, 3_600_000), (0.0, 1), (0.0004, 1)])
def test_the_record_of_an_ended_session_expires_after_its_retention(
    session: Session, retention: float, expected: int
) -> None:
    assert record_ttl(session, retention) == RECORD_TTL
    session.mark_exited(0, None, 9.0)
    assert record_ttl(session, retention) == expected
