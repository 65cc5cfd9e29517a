"""Reservations of names: the calls of the script, and what becomes of a session that has lost its name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from pycloud.protocol.keys import Keys
from pycloud.protocol.session import Session, State
from pycloud.store.records import RECORD_TTL
from pycloud.store.session_names import NameReservations
from pycloud.transport.pipeline import LuaScript

OTHER = "1" * 20
RETENTION = 3600.0
#: Milliseconds that a name is kept for a session that starts: docs/protocol.md says 15 s.
KEPT_WHILE_STARTING = 15_000


class Pipeline:
    """Replies ``replies`` by session id, otherwise "done"; ``updates`` are the calls of the script, in order."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, ...]] = []
        self.ttls: list[int] = []
        self.replies: dict[str, tuple[bytes, bytes]] = {}
        self.on_call: Callable[[], None] = lambda: None
        self.stored: bytes | None = None

    def eval_scripts(self, script: LuaScript, runs: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        return [self.eval_script(script, keys, args) for keys, args in runs]

    def eval_script(self, _script: LuaScript, keys: Sequence[str], args: Sequence[Any]) -> tuple[bytes, bytes]:
        update, name, session, request, ttl = args
        assert list(keys) == [f"{{p}}:name:{name}", f"{{p}}:session:{session}"]
        self.updates.append((str(update), name, session, request))
        self.ttls.append(ttl)
        reply = self.replies.get(session, (b"done", session.encode()))
        self.on_call()
        return reply

    def execute(self, *command: Any) -> bytes | None:
        assert command == ("HGET", "{p}:name:web", "session")
        return self.stored


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


@pytest.fixture
def names(pipeline: Pipeline) -> NameReservations:
    return NameReservations(cast(Any, pipeline), Keys("p"), RETENTION)


def session(session_id: str, state: State = State.RUNNING, name: str | None = "web") -> Session:
    ended = 1001.0 if state in (State.EXITED, State.FAILED) else None
    return Session(session_id, f"r-{session_id}", "d", "t", "h", 1000.0, state=state, ended=ended, name=name)


def test_a_name_is_reserved_for_the_create_and_not_for_the_node(pipeline: Pipeline, names: NameReservations) -> None:
    """So that a node that takes the create over gets it."""
    assert names.reserve(session("s", State.STARTING)) is None
    assert pipeline.updates == [("starting", "web", "s", "create:r-s")]
    assert pipeline.ttls == [KEPT_WHILE_STARTING]


def test_reserving_a_name_that_is_taken_returns_the_session_that_has_it(
    pipeline: Pipeline, names: NameReservations
) -> None:
    pipeline.replies["s"] = (b"taken", OTHER.encode())
    assert names.reserve(session("s", State.STARTING)) == OTHER


def test_a_session_without_a_name_needs_no_call(pipeline: Pipeline, names: NameReservations) -> None:
    plain = session("s", name=None)
    assert names.reserve(plain) is None
    names.release(plain)
    assert names.renew([plain]) is False
    assert pipeline.updates == []


def test_renewed_names_live_as_long_as_the_records_of_their_sessions(
    pipeline: Pipeline, names: NameReservations
) -> None:
    sessions = [session("ended", State.EXITED), session("lives"), session("gone", State.REMOVED)]
    assert names.renew(sessions) is True
    assert pipeline.updates == [("live", "web", "lives", "create:r-lives"), ("ended", "web", "ended", "create:r-ended")]
    assert pipeline.ttls == [RECORD_TTL, int(RETENTION * 1000)]


@pytest.mark.parametrize(
    ("reply", "level"), [((b"taken", OTHER.encode()), logging.WARNING), ((b"given_up", b""), logging.INFO)]
)
def test_a_session_that_has_lost_its_name_goes_on_without_it_and_that_is_logged_once(
    pipeline: Pipeline,
    names: NameReservations,
    caplog: pytest.LogCaptureFixture,
    reply: tuple[bytes, bytes],
    level: int,
) -> None:
    caplog.set_level(logging.INFO)
    lost = session("s")
    pipeline.replies["s"] = reply
    for _ in range(2):
        names.renew([lost, session("keeps")])
    assert (lost.name, lost.state) == (None, State.RUNNING)
    assert [record.levelno for record in caplog.records] == [level]
    assert [updates[2] for updates in pipeline.updates] == ["s", "keeps", "keeps"]


def test_an_ended_session_keeps_its_name_in_its_record_when_another_session_has_it(
    pipeline: Pipeline, names: NameReservations
) -> None:
    ended = session("s", State.EXITED)
    pipeline.replies["s"] = (b"taken", OTHER.encode())
    names.renew([ended])
    assert ended.name == "web", "the name that it had to its end"


def test_a_session_that_ends_during_a_renewal_is_renewed_as_ended(pipeline: Pipeline, names: NameReservations) -> None:
    """Otherwise its name would be taken as long as that of a session that is alive."""
    ending = session("s")
    pipeline.on_call = lambda: ending.mark_exited(0, None, 1001.0) if ending.alive else None
    names.renew([ending])
    assert [updates[0] for updates in pipeline.updates] == ["live", "ended"]


def test_a_session_that_is_removed_during_a_renewal_is_not_renewed(pipeline: Pipeline, names: NameReservations) -> None:
    lives, removed = session("lives"), session("removed", State.EXITED)
    pipeline.on_call = lambda: setattr(removed, "state", State.REMOVED)
    names.renew([lives, removed])
    assert [updates[2] for updates in pipeline.updates] == ["lives"]


def test_a_lost_name_that_another_renewal_has_dropped_meanwhile_is_not_logged_again(
    pipeline: Pipeline, names: NameReservations, caplog: pytest.LogCaptureFixture
) -> None:
    """Two renewals may run at the same time."""
    lost = session("s")
    pipeline.replies["s"] = (b"taken", OTHER.encode())
    pipeline.on_call = lambda: setattr(lost, "name", None)
    names.renew([lost])
    assert caplog.records == []


def test_a_name_is_released_by_its_own_node_or_for_one_that_is_offline(
    pipeline: Pipeline, names: NameReservations
) -> None:
    names.release(session("s", State.EXITED))
    names.release_for_offline_owner(OTHER, "db")
    assert pipeline.updates == [("gone", "web", "s", "create:r-s"), ("given_up", "db", OTHER, "")]


@pytest.mark.parametrize(("stored", "holder"), [(None, None), (OTHER.encode(), OTHER)])
def test_the_holder_of_a_name(
    pipeline: Pipeline, names: NameReservations, stored: bytes | None, holder: str | None
) -> None:
    pipeline.stored = stored
    assert names.holder("web") == holder
