"""This node's sessions in memory: which there are, which of them are alive, and how long ended ones are retained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import gevent

from pycloud.protocol.session import Session, State
from pycloud.runtimes import Exit
from pycloud.sessions.context import NodeContext
from pycloud.sessions.log_streams import LogStreams
from pycloud.sessions.watcher import ExitWatcher


class SessionTable:
    """The one owner of the map ``sessions`` (by id). ``retention``: seconds that an ended session stays in it."""

    def __init__(
        self, context: NodeContext, sessions: dict[str, Session], log_streams: LogStreams, retention: float
    ) -> None:
        self._context, self.sessions, self._log_streams, self._retention = context, sessions, log_streams, retention
        self._exit_watcher = ExitWatcher(context.runtime, self._on_exit)
        self._alive_ids: set[str] = set()
        self._expiry_timers: dict[str, gevent.Greenlet] = {}
        self._removing: Counter[str] = Counter()

    @property
    def alive(self) -> int:
        """Number of sessions that are alive and whose create was answered."""
        return len(self._alive_ids)

    def get(self, session_id: str) -> Session | None:
        """The session with this id; None: there is none."""
        return self.sessions.get(session_id)

    def add(self, session: Session) -> None:
        """Add a session that is being started."""
        self.sessions[session.id] = session

    def discard(self, session: Session) -> None:
        """Take out a session whose start has failed."""
        del self.sessions[session.id]

    def mark_alive(self, session: Session) -> None:
        """Count a session as alive, and watch for its end; does nothing for one that has ended or is gone."""
        if session.alive and session.id in self.sessions:
            self._alive_ids.add(session.id)
            self._exit_watcher.watch(session.id)

    @contextmanager
    def removing(self, session: Session) -> Iterator[None]:
        """For the time of a removal: the end of the session is recorded when the removal has succeeded or failed."""
        self._removing[session.id] += 1
        try:
            yield
        finally:
            self._removing[session.id] -= 1
            if not self._removing[session.id]:
                del self._removing[session.id]

    def on_removal_failed(self, session: Session) -> None:
        """Record that a session has ended, unless another removal of it is in progress and will do so."""
        if session.state is State.EXITED and self._removing[session.id] == 1:
            self.retain_ended(session)

    def retain_ended(self, session: Session) -> None:
        """Retain an ended session for a while, and record its end. Does nothing for one that is retained already."""
        if session.id in self._expiry_timers:
            return
        self.schedule_expiry(session)
        # An unanswered session is recorded with the response to its create: a record proves that it was answered.
        if session.answered:
            self._context.session_store.write_records([session])

    def schedule_expiry(self, session: Session) -> None:
        """Let an ended session expire when its retention is over."""
        now = self._context.now()
        remaining = (session.ended or now) + self._retention - now
        self._expiry_timers[session.id] = gevent.spawn_later(max(0.0, remaining), self._expire, session)

    def forget(self, session: Session) -> None:
        """Take out a session that is gone, and let its runtime and its log streams know."""
        self._exit_watcher.unwatch(session.id)
        if timer := self._expiry_timers.pop(session.id, None):
            timer.kill(block=False)
        self.sessions.pop(session.id, None)
        self._alive_ids.discard(session.id)
        self._context.runtime.forget(session.id)
        self._log_streams.on_session_changed(session.id)

    def stop(self) -> None:
        """Stop watching for ends."""
        self._exit_watcher.stop()

    def _on_exit(self, session_id: str, exit_: Exit) -> None:
        session = self.sessions.get(session_id)
        if session is None or not session.alive:
            return
        session.mark_exited(exit_.exit_code, exit_.reason, exit_.ended)
        self._alive_ids.discard(session.id)
        self._log_streams.on_session_changed(session.id)
        self._context.event_publisher.publish("session.exited", session)
        if session.id not in self._removing:  # otherwise the removal erases its record, or records that it failed
            self.retain_ended(session)

    def _expire(self, session: Session) -> None:
        self._expiry_timers.pop(session.id, None)
        if session.id in self.sessions and session.state is not State.REMOVED:
            recorded_state = self._context.session_store.erase(session)
            self._context.event_publisher.publish_missed(session, recorded_state, session.state)
            self.forget(session)
