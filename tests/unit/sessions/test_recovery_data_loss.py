"""Whether Redis would know of a session that was answered for."""

from __future__ import annotations

from pycloud.protocol.session import Session
from pycloud.sessions.recovery import record_should_exist
from pycloud.store.records import RECORD_TTL

CREATED = 1_000_000.0
HOUR = 3600.0


def known(age: float, beat: float | None) -> bool:
    """Of a session of that age (s), where Redis last heard of its cloud at ``beat``, counted from its creation."""
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
