"""Publishes events about sessions."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET

from pycloud.protocol.messages import Event
from pycloud.protocol.session import LIVE, Session, State
from pycloud.runtimes import PullProgress
from pycloud.store.sessions import SessionStore


def missed_event(before: str, after: State, *, report_adopted: bool) -> str | None:
    """The name of the event that was missed where the recorded state is ``before`` and the real one ``after``, or None.

    ``report_adopted``: this daemon has had the session for longer, so it is news that others had marked it as lost.
    """
    if after is State.EXITED and (before in LIVE or before == State.LOST):
        return "session.exited"
    return "session.adopted" if report_adopted and after in LIVE and before == State.LOST else None


class EventPublisher:
    """Publishes the events of node ``node``; ``now`` gives Unix seconds."""

    def __init__(self, node: str, session_store: SessionStore, now: Callable[[], float]) -> None:
        self._node, self._session_store, self._now = node, session_store, now

    def event(self, name: str, session: Session) -> Event:
        """The event ``name`` about a session; for one that has ended or failed, with exit code and reason."""
        labels = dict(session.labels) or UNSET
        event = Event(name, self._node, self._now(), session=session.id, name=session.name or UNSET, labels=labels)
        if session.state in (State.EXITED, State.FAILED):
            return msgspec.structs.replace(event, exit_code=session.exit_code, reason=session.reason)
        return event

    def publish(self, name: str, session: Session) -> None:
        """Publish the event ``name`` about a session."""
        self._session_store.publish_event(self.event(name, session))

    def publish_event(self, event: Event | None) -> None:
        """Publish an event; does nothing for None."""
        if event is not None:
            self._session_store.publish_event(event)

    def publish_missed(
        self, session: Session, before: str | None, after: State, *, report_adopted: bool = True
    ) -> None:
        """Publish the missed event of a session (see ``missed_event``), unless its state is no longer ``after``."""
        if before and session.state is after and (event := missed_event(before, after, report_adopted=report_adopted)):
            self.publish(event, session)

    def publish_pull_progress(self, session: Session, progress: PullProgress) -> None:
        """Publish how far the image of a session that is being started has been pulled."""
        event = msgspec.structs.replace(
            self.event("session.pulling", session),
            request=session.request,
            image=progress.image,
            progress=progress.text,
            done=progress.done,
        )
        self._session_store.publish_progress(event, session.request)
