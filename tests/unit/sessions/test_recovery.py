"""Sessions that the last daemon left: one that cannot be settled holds up no other; and what Redis knows of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import redis

from pycloud.protocol.session import Session
from pycloud.runtimes import Exit, Phase, RecoveredSession, Started
from pycloud.sessions.manager import SessionManager
from pycloud.sessions.recovery import SessionRecovery, record_should_exist
from pycloud.store.records import RECORD_TTL

RECORD = {"request": "r", "digest": "d", "token": "t", "host": "h", "created": 1.0}
CREATED = 1_000_000.0
HOUR = 3600.0


class Stub:
    """A node whose Redis refuses what concerns the sessions in ``stuck``."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.stuck: set[str] = set()
        self.alive = 0
        self.told: list[tuple[str, str]] = []
        self.session_store = SimpleNamespace(get_record=self._look_up, write_records=lambda _sessions: [])
        self.event_publisher = SimpleNamespace(publish=lambda event, session: self.told.append((event, session.id)))

    def adopt(self, session: Session) -> None:
        self.sessions[session.id] = session

    def mark_answered(self, session: Session) -> None:
        session.answered = True

    def _look_up(self, session: str) -> dict[str, Any]:
        if session in self.stuck:
            raise redis.ResponseError("OOM command not allowed")
        return {"state": "running"}


def found(session: str, *, answered: bool, exit_: Exit | None = None) -> RecoveredSession:
    return RecoveredSession(session, Phase.RUNNING, {**RECORD, "answered": answered}, Started(None, 2.0), exit_, None)


def recovery_of(stub: Stub, *sessions: RecoveredSession) -> SessionRecovery:
    made = SessionRecovery(cast(SessionManager, stub), spawn=lambda *_args: None, mark_seen=lambda _session: None)
    made.adopt(sessions)
    return made


def test_one_that_cannot_be_settled_is_settled_later_and_holds_up_no_other() -> None:
    stub = Stub()
    recovery = recovery_of(stub, *(found(f"s{number}", answered=False) for number in range(3)))
    stub.stuck = {"s1"}
    assert [session.id for session in recovery.resume()] == ["s0", "s2"]
    assert [session.answered for session in stub.sessions.values()] == [True, False, True]
    stub.stuck = set()
    recovery.resume_deferred()
    assert stub.sessions["s1"].answered
    assert stub.told == [("session.adopted", "s1")]
    assert recovery.resume() == []


def test_only_those_that_live_are_told_of_as_adopted() -> None:
    stub = Stub()
    ended = found("ended", answered=True, exit_=Exit(0, None, 3.0))
    recovery_of(stub, ended, found("lives", answered=True)).resume_deferred()
    assert stub.told == [("session.adopted", "lives")]


def known(age: float, beat: float | None) -> bool:
    """Of a session of that age (s), where Redis last heard of its node at ``beat``, counted from its creation."""
    session = Session("0" * 20, "r", "d", "t", "host", CREATED)
    return record_should_exist(session, CREATED + age, None if beat is None else CREATED + beat)


def test_a_redis_that_kept_its_data_knows() -> None:
    assert known(HOUR, beat=0.5)
    assert known(HOUR, beat=-3.0), "its last heartbeat before the session"


def test_a_redis_that_lost_its_data_does_not() -> None:
    assert not known(HOUR, beat=None)
    assert not known(HOUR, beat=-HOUR), "it came back as it was an hour earlier"


def test_nor_does_one_in_which_the_record_has_expired() -> None:
    assert not known(RECORD_TTL / 1000 + 1, beat=0.5)
