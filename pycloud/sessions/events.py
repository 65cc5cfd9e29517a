"""Says what happens to sessions, to everybody who listens."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET

from pycloud.protocol.messages import Event
from pycloud.protocol.session import LIVE, Session, State
from pycloud.runtimes import Progress
from pycloud.store.sessions import Registry


def news(before: str, after: State, *, back: bool) -> str | None:
    """The event that nobody was told of, where a session was on record as ``before`` and is ``after``; None: none.

    ``back``: it is this daemon's for longer, so that it is news if others had given it up.
    """
    if after is State.EXITED and (before in LIVE or before == State.LOST):
        return "session.exited"
    return "session.adopted" if back and after in LIVE and before == State.LOST else None


class Teller:
    """Speaks for cloud ``cloud``; ``now`` gives Unix seconds."""

    def __init__(self, cloud: str, registry: Registry, now: Callable[[], float]) -> None:
        self._cloud, self._registry, self._now = cloud, registry, now

    def event(self, name: str, session: Session) -> Event:
        """What there is to say of a session; of one that is over also how it ended."""
        labels = dict(session.labels) or UNSET
        event = Event(name, self._cloud, self._now(), session=session.id, name=session.name or UNSET, labels=labels)
        if session.state in (State.EXITED, State.FAILED):
            return msgspec.structs.replace(event, exit_code=session.exit_code, reason=session.reason)
        return event

    def tell(self, name: str, session: Session) -> None:
        """Say it."""
        self._registry.tell(self.event(name, session))

    def tell_event(self, event: Event | None) -> None:
        """Say what somebody has put in words already, if so."""
        if event is not None:
            self._registry.tell(event)

    def tell_news(self, session: Session, before: str | None, after: State, *, back: bool = True) -> None:
        """Say of a session what nobody was told of (see ``news``), unless it has gone on from there."""
        if before and session.state is after and (event := news(before, after, back=back)):
            self.tell(event, session)

    def tell_pulling(self, session: Session, progress: Progress) -> None:
        """Say how far the image of a session that is being started has been pulled."""
        event = msgspec.structs.replace(
            self.event("session.pulling", session),
            request=session.request,
            image=progress.image,
            progress=progress.text,
            done=progress.done,
        )
        self._registry.tell_progress(event, session.request)
