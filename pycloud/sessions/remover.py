"""How sessions go: removed because somebody asked for it, or unasked; those that start just now, too."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

import gevent
import redis

from pycloud import fault_points
from pycloud.errors import EngineUnavailable, RequestError
from pycloud.protocol.messages import Event, RemoveRequest, RemoveResponse
from pycloud.protocol.session import Session, State
from pycloud.runtimes.composite import Runtimes
from pycloud.sessions.events import Teller
from pycloud.sessions.starter import Starter
from pycloud.store.request_claimer import Claiming
from pycloud.store.requests import MOST_REMEMBERED, Claim, Given, Ledger, Outcome
from pycloud.store.sessions import Registry

log = logging.getLogger(__name__)

FOREVER = float("inf")


class Remover:
    """Removes ``sessions`` (by id). ``stays`` is told of each that ended and cannot be removed, ``drop`` of each that
    is gone, and forgets it. ``stop_grace``: seconds; ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        runtime: Runtimes,
        ledger: Ledger,
        registry: Registry,
        claiming: Claiming,
        teller: Teller,
        starter: Starter,
        sessions: Mapping[str, Session],
        stays: Callable[[Session], None],
        drop: Callable[[Session], None],
        *,
        stop_grace: float,
        clock: Callable[[], float],
    ) -> None:
        self._runtime, self._ledger, self._registry = runtime, ledger, registry
        self._claiming, self._teller, self._starter = claiming, teller, starter
        self._sessions, self._stays, self._drop = sessions, stays, drop
        self._ending: Counter[str] = Counter()
        self._stop_grace, self._now = stop_grace, clock
        #: Found removed: whether that was told is not known.
        self._found_removed: set[str] = set()
        #: To be removed though nobody waits for it, and could not be yet.
        self._put_off: set[str] = set()
        #: The newest removes that were answered: for a Redis that forgets them before their requesters have heard.
        self.removals: deque[Given] = deque(maxlen=MOST_REMEMBERED)

    def carry_out(self, session: Session, claim: Claim) -> None:
        """A claimed removal: journaled before the first signal, so that a daemon that dies here goes on with it."""
        note = {"request": claim.id, "digest": claim.digest, "token": claim.token}
        with self._claiming.claims.working(claim):
            fault_points.point("remove.claimed")
            try:
                there = self._end(session, self._stop_grace, note)
            except RequestError as error:
                self._claiming.answer_refusal(claim, RemoveRequest(claim.id, session.id), error)
                return
            fault_points.point("remove.stopped")
            self._answer(session, claim, there)

    def discard(self, session: Session) -> None:
        """Remove a session that nobody was told of, without grace, now or as soon as that can be done.

        Raises RemoveFailed.
        """
        try:
            self._end(session, 0, {})
        except EngineUnavailable:
            if session.answered:
                raise
            # Nobody knows of it, so nobody waits either: what forgets it sees to it.
        self._bury(session)

    def remove_unasked(
        self, session: Session, gone: Callable[[], None] = lambda: None, at_most: float = FOREVER
    ) -> None:
        """Remove a session in order, though nobody waits for an answer. Raises RequestError.

        ``gone`` is called when nothing of it runs any more, and before anybody forgets it. ``at_most``: seconds that a
        grace of the session's own may take.
        """
        self._end(session, self._stop_grace, {}, at_most)
        gone()
        self._bury(session)

    def remove_in_time(self, session: Session) -> None:
        """The same, now, or as soon as it can be done."""
        try:
            if session.answered:
                self.remove_unasked(session)
            else:
                self.discard(session)
        except (RequestError, redis.RedisError) as error:
            if session.id not in self._put_off:
                log.warning("session %s cannot be removed yet: %s", session.id, error)
            self._put_off.add(session.id)

    def try_again(self) -> None:
        """Remove what could not be removed yet, side by side."""
        sessions = [session for each in self._put_off if (session := self._sessions.get(each))]
        self._put_off.intersection_update(session.id for session in sessions)
        gevent.joinall([gevent.spawn(self.remove_in_time, session) for session in sessions])

    def remove_all(self, timeout: float) -> None:
        """End every session (setting ``on_stop``), side by side; waits at most ``timeout`` seconds."""
        greenlets = [gevent.spawn(self._try_to_remove, session) for session in list(self._sessions.values())]
        gevent.joinall(greenlets, timeout)
        if left := [greenlet for greenlet in greenlets if not greenlet.ready()]:
            log.warning("%d sessions are not gone yet: the next start of this cloud goes on with that", len(left))
            gevent.killall(left)

    def is_ending(self, session: str) -> bool:
        """Whether a session that runs is being removed: what becomes of it is recorded at the end of that."""
        return session in self._ending

    def found_removed(self, session: Session) -> None:
        """It was removed before this daemon."""
        self._found_removed.add(session.id)

    def _try_to_remove(self, session: Session) -> None:
        try:
            self.remove_unasked(session, at_most=self._stop_grace)
        except RequestError as error:
            log.error("session %s could not be removed: %s", session.id, error)

    def _end(self, session: Session, grace: float, note: Mapping[str, Any], at_most: float = FOREVER) -> bool:
        """Have nothing of it left, whether it starts, runs or has ended; False: it had not come to run.

        Raises RequestError.
        """
        if self._starter.give_up(session.id):
            return True
        there = self._stop(session, grace, note, at_most)
        return there or session.state is not State.FAILED

    def _stop(self, session: Session, grace: float, note: Mapping[str, Any], at_most: float) -> bool:
        self._ending[session.id] += 1
        try:
            return self._runtime.stop(session.id, grace, note, at_most)
        except RequestError:
            if session.state is State.EXITED and self._ending[session.id] == 1:
                self._stays(session)
            raise
        finally:
            self._ending[session.id] -= 1
            if not self._ending[session.id]:
                del self._ending[session.id]

    def _answer(self, session: Session, claim: Claim, there: bool) -> None:
        """Say that a session is gone, and forget it."""
        response, event = RemoveResponse(session.cloud, session.id, status=there), self._gone(session)
        outcome = self._ledger.commit(claim, response, erase=session, event=event)
        fault_points.point("remove.committed")
        if outcome is not Outcome.COMMITTED:
            self._registry.erase(session)
        if outcome is Outcome.LOST:
            self._teller.tell_event(event)
        else:
            self.removals.append(Given(claim, response, self._now()))
        self._drop(session)

    def _bury(self, session: Session) -> None:
        """Forget a session that is gone, and say so."""
        event = self._gone(session)
        self._registry.erase(session)
        self._teller.tell_event(event)
        self._drop(session)

    def _gone(self, session: Session) -> Event | None:
        """Its removal, to be told by the first of those who had it removed; None: by another."""
        self._put_off.discard(session.id)
        if session.state is not State.REMOVED:
            session.move(State.REMOVED)
        elif session.id not in self._found_removed:
            return None
        self._found_removed.discard(session.id)
        return self._teller.event("session.removed", session)
