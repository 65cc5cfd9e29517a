"""What was there before this daemon: sessions that outlived the last one, and what that one had left unfinished."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

import redis
from gevent.lock import BoundedSemaphore

from pycloud.errors import RequestError
from pycloud.protocol.session import Session, State
from pycloud.runtimes import Found, Phase
from pycloud.sessions.manager import Cloud
from pycloud.store.records import RECORD_LIFE
from pycloud.store.requests import ANSWER_LIFE, Claim

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
        name=record.get("name"),
        labels=record.get("labels", {}),
    )
    if found.started:
        session.run(found.started.port, found.started.started, found.started.ports)
        if found.exit:
            session.exit(found.exit.exit_code, found.exit.reason, found.exit.ended)
    if found.phase is Phase.REMOVED:
        session.move(State.REMOVED)
    return session


class Adoption:
    """Takes charge of what a runtime finds. ``spawn`` carries something out that a stop waits for; ``know`` is told of
    sessions that were asked for before.
    """

    def __init__(self, cloud: Cloud, spawn: Callable[..., None], know: Callable[[Session], None]) -> None:
        self._cloud, self._spawn, self._know = cloud, spawn, know
        self._unfinished: list[Found] = []
        self._lock = BoundedSemaphore()

    def adopt(self, found: Iterable[Found]) -> None:
        """Take charge of what was found: status knows it from here on. Needs no Redis."""
        for each in found:
            self._cloud.adopt(session_of(each))
            self._unfinished.append(each)

    def finish(self) -> list[Session]:
        """Finish what the last daemon had begun: answers not given, removals not carried out.

        The sessions with which that is done; what cannot be done now is done the next time.
        """
        with self._lock:
            found, done = list(self._unfinished), list[Session]()
            for each in found:
                session = self._cloud.sessions.get(each.session)
                if session is None or self._finish(session, each):
                    self._unfinished.remove(each)
                    done += [session] if session else []
            if done:
                log.info("adopted %d sessions, %d of them alive", len(done), self._cloud.alive)
            return done

    def finish_late(self) -> None:
        """The same for what was found, or could be done, only after the start; and tell everybody of it."""
        sessions = self.finish() if self._unfinished else []
        announce(self._cloud, [session for session in sessions if session.answered], back=True)
        for session in sessions:
            if session.alive and session.answered:
                self._cloud.teller.tell("session.adopted", session)

    def _finish(self, session: Session, found: Found) -> bool:
        """Whether it could be done."""
        self._know(session)
        try:
            if found.removal is not None:
                self._spawn(_finish_removal, self._cloud, session, found.removal)
            elif not session.answered:
                _finish_create(self._cloud, session)
                if found.exit and session.state is State.EXITED:  # nobody watched it: that began with its answer
                    self._cloud.teller.tell("session.exited", session)
        except (RequestError, redis.RedisError) as error:
            log.error("what was left to do for session %s cannot be done yet: %s", session.id, error)
            return False
        return True


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


def _finish_removal(cloud: Cloud, session: Session, removal: Mapping[str, str]) -> None:
    """``removal``: the note of whoever began it; empty where nobody was to be answered."""
    if not removal:
        cloud.remover.remove_in_time(session)
        return
    claim = Claim("remove", removal["request"], removal["digest"], removal["token"])
    cloud.remover.carry_out(session, claim)


def _finish_create(cloud: Cloud, session: Session) -> None:
    """Its requester may not have heard of it yet."""
    if cloud.registry.session(session.id):
        # Written with the answer, in one call: it was given.
        cloud.note_answered(session)
        cloud.registry.announce([session])
    elif _was_never_answered(cloud, session):
        log.warning("session %s was never answered for, and is too old to be; it is removed", session.id)
        cloud.remover.remove_in_time(session)
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
