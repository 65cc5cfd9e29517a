"""Names of sessions in Redis: of all that live, at most one session has a name. The key is described in lua/name.lua.

A name is kept for a session before it is started, made its own with the answer to its create (lua/commit.lua), written
again with its record, and free for others once it has ended; it stands for the ended one until then. Everything here
may be repeated without harm.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import StrEnum

from pycloud.protocol.keys import Names
from pycloud.protocol.session import Session, State
from pycloud.store.records import RECORD_LIFE, record_life
from pycloud.store.requests import NAME_LEASE, Claim
from pycloud.store.scripts import load_script
from pycloud.transport.pipeline import Argument, Bus

log = logging.getLogger(__name__)


class Wanted(StrEnum):
    """What is to become of a session's name."""

    STARTING = "starting"
    LIVE = "live"
    ENDED = "ended"
    GONE = "gone"
    GIVEN_UP = "given_up"


class SessionNames:
    """``remember`` is how long (s) ended sessions are kept."""

    def __init__(self, bus: Bus, names: Names, remember: float) -> None:
        self._bus, self._names, self._remember = bus, names, remember
        self._script = load_script("name")

    def reserve(self, session: Session) -> str | None:
        """Keep its name for a session that is about to start; the session that has it where it is taken."""
        if session.name is None:
            return None
        verdict, holder = self._run(Wanted.STARTING, [session])[0]
        return holder if verdict == "taken" else None

    def keep(self, sessions: Iterable[Session]) -> bool:
        """Write down again whose their names are; whether there were any.

        One that another session has by now, or that was given up meanwhile, is its own no more.
        """
        named = [session for session in sessions if session.name and session.state is not State.REMOVED]
        for wanted in (Wanted.LIVE, Wanted.ENDED):
            # Those that ended during the first round are in the second; those that were removed are in none.
            some = [session for session in named if session.alive is (wanted is Wanted.LIVE)]
            some = [session for session in some if session.state is not State.REMOVED]
            for session, (verdict, holder) in zip(some, self._run(wanted, some), strict=True):
                if wanted is Wanted.LIVE and verdict != "done":
                    _lose(session, holder)
        return bool(named)

    def release(self, session: Session) -> None:
        """There is no such session any more; its name is free, where it had it."""
        self._run(Wanted.GONE, [session] if session.name else [])

    def give_up(self, session: str, name: str) -> None:
        """Free the name of another cloud's session that is to be removed as soon as its cloud is back."""
        self._bus.run(self._script, self._keys(name, session), (Wanted.GIVEN_UP, name, session, "", RECORD_LIFE))

    def holder(self, name: str) -> str | None:
        """The session that has a name, or had it last."""
        found = self._bus.call("HGET", self._names.name_key(name), "session")
        return None if found is None else str(found.decode())

    def _run(self, wanted: Wanted, sessions: list[Session]) -> list[tuple[str, str]]:
        runs: list[tuple[list[str], list[Argument]]] = []
        for session in sessions:
            name, request = str(session.name), Claim.of(session).member
            life = NAME_LEASE if wanted is Wanted.STARTING else record_life(session, self._remember)
            runs.append((self._keys(name, session.id), [wanted, name, session.id, request, life]))
        replies = self._bus.run_many(self._script, runs) if runs else []
        return [(verdict.decode(), holder.decode()) for verdict, holder in replies]

    def _keys(self, name: str, session: str) -> list[str]:
        return [self._names.name_key(name), self._names.session_key(session)]


def _lose(session: Session, holder: str) -> None:
    """Said once: it has no name from here on."""
    if session.name is None:
        return  # somebody else has noticed
    if holder:
        log.warning(
            "session %s was named %s, and so is session %s by now: the name stays there, and is taken from the former",
            *(session.id, session.name, holder),
        )
    else:
        log.info("session %s has its name %s no more: a remove gave it up meanwhile", session.id, session.name)
    session.name = None
