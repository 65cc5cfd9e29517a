"""What was there before this daemon: sessions that outlived the last one, and what that one had left unfinished."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from pycloud.cloud import Cloud
from pycloud.errors import RequestError
from pycloud.ledger import ANSWER_LIFE, Claim
from pycloud.records import RECORD_LIFE
from pycloud.runtimes import Found, Phase
from pycloud.sessions import Session, State

log = logging.getLogger(__name__)

#: Seconds for which a cloud that takes creates may not have said that it lives.
SILENCE = 15.0


def session_of(found: Found) -> Session:
    """The session that a runtime found, in the state that it is in."""
    record = found.record
    session = Session(
        id=found.session,
        request=record["request"],
        digest=record["digest"],
        token=record["token"],
        host=record["host"],
        created=record["created"],
        runtime=record.get("runtime", "script"),
        answered=record.get("answered", False),
    )
    if found.started:
        session.run(found.started.port, found.started.started, found.started.ports)
        if found.exit:
            session.exit(found.exit.exit_code, found.exit.reason, found.exit.ended)
    if found.phase is Phase.REMOVED:
        session.move(State.REMOVED)
    return session


def adopt(cloud: Cloud, found: Iterable[Found]) -> None:
    """Take charge of what was found: status knows it from here on. Needs no Redis."""
    for each in found:
        cloud.adopt(session_of(each))


def finish(cloud: Cloud, found: Iterable[Found], spawn: Callable[..., None]) -> None:
    """Finish what the last daemon had begun: answers not given, removals not carried out (those by ``spawn``)."""
    for each in found:
        session = cloud.sessions.get(each.session)
        if session is None:
            continue
        if each.removal is not None:
            spawn(_finish_removal, cloud, session, each)
        elif not session.answered:
            _finish_create(cloud, session)
            if each.exit and session.state is State.EXITED:  # nobody watched it: that began once it was answered
                cloud.teller.tell("session.exited", session)


def announce(cloud: Cloud, sessions: Iterable[Session], *, back: bool) -> None:
    """Write sessions to Redis. Tell which of them ended unheard and, where we are ``back``, which were given up."""
    for session, before, after in cloud.registry.announce(sessions):
        cloud.teller.tell_news(session, before, after, back=back)


def tell_adopted(cloud: Cloud) -> None:
    """Say which sessions were there before this daemon. Others may have given them up before they heard of it."""
    living = [session for session in cloud.sessions.values() if session.alive and session.answered]
    lost = cloud.registry.counted_lost(session.id for session in living)
    cloud.registry.announce(session for session in living if session.id in lost and session.alive)
    for session in living:
        if session.alive:
            cloud.teller.tell("session.adopted", session)


def _finish_removal(cloud: Cloud, session: Session, found: Found) -> None:
    removal = found.removal or {}
    if not removal:
        cloud.discard(session)
        return
    claim = Claim("remove", removal["request"], removal["digest"], removal["token"])
    cloud.carry_out_removal(session, claim)


def _finish_create(cloud: Cloud, session: Session) -> None:
    """Its requester may not have heard of it yet."""
    if cloud.registry.session(session.id):
        # Written with the answer, in one call: it was given.
        cloud.note_answered(session)
        cloud.registry.announce([session])
    elif _was_never_answered(cloud, session):
        log.warning("session %s was never answered for, and is too old to be; it is removed", session.id)
        _discard(cloud, session)
    else:
        cloud.answer_create(session)


def _was_never_answered(cloud: Cloud, session: Session) -> bool:
    """Whether a session without a record was surely not answered for, and is too old to be.

    Others may have answered its request by then, and Redis does not know that any more.
    """
    now = cloud.now()
    if now - session.created <= ANSWER_LIFE / 1000:
        return False
    return would_be_on_record(session, now, cloud.registry.last_beat()) or cloud.registry.holds_request(session.request)


def would_be_on_record(session: Session, now: float, beat: float | None) -> bool:
    """Whether Redis still knew of a session that was answered for: it has not lost its data, nor let it expire.

    ``beat``: when this cloud was last heard of before ``now``, as far as Redis knows (Unix seconds).
    """
    return beat is not None and beat > session.created - SILENCE and now - session.created < RECORD_LIFE / 1000


def _discard(cloud: Cloud, session: Session) -> None:
    try:
        cloud.discard(session)
    except RequestError as error:
        log.error("session %s cannot be removed: %s", session.id, error)
