"""What was there before this daemon: sessions that outlived the last one, and what that one had left unfinished."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from time import time

from pycloud.cloud import Cloud
from pycloud.ledger import ANSWER_LIFE, Claim
from pycloud.messages import RemoveResponse
from pycloud.runtimes import Found, Phase
from pycloud.sessions import Session, State

log = logging.getLogger(__name__)


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
        session.run(found.started.port, found.started.started)
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


def fulfil_wishes(cloud: Cloud) -> None:
    """Remove what somebody wanted removed while this cloud was away: the first thing that it does when it is back."""
    removed: set[str] = set()
    for wish in cloud.registry.wishes():
        session = cloud.sessions.get(wish.session)
        if session is not None:
            log.info("session %s: removed, as was wished while this cloud was away", session.id)
            cloud.remove_unasked(session)
            removed.add(session.id)
        if wish.session in removed:
            response = RemoveResponse(cloud.identity.id, wish.session, status=True)
            cloud.ledger.grant(Claim("remove", wish.id, wish.digest), response)
        cloud.registry.fulfilled(wish)


def _finish_removal(cloud: Cloud, session: Session, found: Found) -> None:
    removal = found.removal or {}
    if not removal:
        cloud.discard(session)
        return
    claim = Claim("remove", removal["request"], removal["digest"], removal["token"])
    cloud.carry_out_removal(session, claim)


def _finish_create(cloud: Cloud, session: Session) -> None:
    """Its requester may not have heard of it yet; where Redis may have forgotten who was answered, nobody ever will."""
    if cloud.registry.session(session.id):
        # Written with the answer, in one call: it was given.
        cloud.note_answered(session)
    elif time() - session.created > ANSWER_LIFE / 1000:
        log.warning("session %s was never answered for, and is too old to be; it is removed", session.id)
        cloud.discard(session)
    else:
        cloud.answer_create(session)
